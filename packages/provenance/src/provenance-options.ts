import { BuildError } from "@buildkit-ts/errdefs";
import { parseBool } from "@buildkit-ts/gotext";

/** What `attest:provenance` says. */
export interface ProvenanceOptions {
  readonly version: "v1" | "v0.2";
  /** `min` leaves out what users may want to keep to themselves, and how the result was made. */
  readonly mode: "min" | "max";
  readonly builderId: string;
  /** Name of the file beside local outputs. */
  readonly fileName: string;
  readonly reproducible: boolean;
  /** Only for images: not a file beside other outputs, nor a reason to make a single image an index. */
  readonly inlineOnly: boolean;
  readonly captureUsage: boolean;
  /** Fails the build if something went in that could not be captured. */
  readonly completeMaterials: boolean;
}

/** @throws {BuildError} `invalid_argument`, naming the parameter. */
export function parseProvenanceOptions(parameters: Readonly<Record<string, string>>): ProvenanceOptions {
  const { version = "v1", mode = "max", filename = "provenance.json" } = parameters;
  if (version === "") throw invalid("provenance SLSA version cannot be empty");
  if (version !== "v1" && version !== "v0.2") throw invalid(`invalid provenance SLSA version: ${shorten(version)}`);
  if (mode !== "min" && mode !== "max" && mode !== "full")
    throw invalid(`invalid mode ${JSON.stringify(shorten(mode))}`);
  return {
    version,
    mode: mode === "min" ? "min" : "max",
    builderId: parameters["builder-id"] ?? "",
    fileName: filename,
    reproducible: strictFlag("reproducible", parameters["reproducible"]),
    // Clients have always been able to write anything here; only what means yes does.
    inlineOnly: isYes(parameters["inline-only"]),
    captureUsage: isYes(parameters["capture-usage"]),
    completeMaterials: strictFlag("complete-materials", parameters["complete-materials"]),
  };
}

function isYes(value: string | undefined): boolean {
  return value !== undefined && parseBool(value) === true;
}

function strictFlag(name: string, value: string | undefined): boolean {
  if (value === undefined) return false;
  const flag = parseBool(value);
  if (flag !== undefined) return flag;
  const quoted = JSON.stringify(shorten(value));
  throw invalid(`failed to parse ${name} flag ${quoted}: strconv.ParseBool: parsing ${quoted}: invalid syntax`);
}

function shorten(text: string): string {
  return text.slice(0, 100);
}

function invalid(message: string): BuildError {
  return new BuildError("invalid_argument", message);
}
