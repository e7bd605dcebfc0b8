import { BuildError } from "@buildkit-ts/errdefs";

/** A frontend was asked for a sub-request that it does not know; clients then try another frontend. */
export class SubrequestError extends BuildError {
  override readonly name = "SubrequestError";
  /** The `requestid`. */
  readonly subrequest: string;

  constructor(subrequest: string) {
    super("unimplemented", `unsupported request "${subrequest}"`);
    this.subrequest = subrequest;
  }
}
