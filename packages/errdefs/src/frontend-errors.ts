import { BuildError } from "./build-error.ts";

/** A client asks for more than a frontend can do; clients fall back to another frontend by the capability's name. */
export class UnsupportedFrontendCapError extends BuildError {
  override readonly name = "UnsupportedFrontendCapError";
  readonly capability: string;

  constructor(capability: string, options: ErrorOptions = {}) {
    super("unimplemented", `unsupported frontend capability ${capability}`, options);
    this.capability = capability;
  }
}

/** A client asks a frontend for something that it does not know; it then tries another frontend. */
export class UnsupportedSubrequestError extends BuildError {
  override readonly name = "UnsupportedSubrequestError";
  readonly subrequest: string;

  constructor(subrequest: string, options: ErrorOptions = {}) {
    super("unimplemented", `unsupported request ${subrequest}`, options);
    this.subrequest = subrequest;
  }
}

/** A client wants a build as an older release made it, with something that the release did not have. */
export class UnsupportedCompatibilityFeatureError extends BuildError {
  override readonly name = "UnsupportedCompatibilityFeatureError";
  readonly version: number;
  readonly feature: string;

  constructor(version: number, feature: string) {
    super("unimplemented", `unsupported compatibility-version ${version} feature ${feature}`);
    this.version = version;
    this.feature = feature;
  }
}

/** A policy has put something else in the place of an image of which a config was asked for. */
export class NotAnImageError extends BuildError {
  override readonly name = "NotAnImageError";
  /** Identifier of the source that is there instead, with its scheme. */
  readonly updated: string;

  constructor(reference: string, updated: string) {
    super("invalid_argument", `ref mutated by policy to non-image: docker-image://${reference} -> ${updated}`);
    this.updated = updated;
  }
}
