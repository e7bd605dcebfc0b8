import { BuildError } from "./build-error.ts";

/** Something that went into a build and has no digest that could be stated. */
export interface IncompleteMaterial {
  readonly name: string;
  readonly reason: "local_source";
}

/** A build shall name all of its materials, and cannot. The text is BuildKit's and lists what is missing. */
export class IncompleteMaterialsError extends BuildError {
  override readonly name = "IncompleteMaterialsError";
  readonly incomplete: readonly IncompleteMaterial[];

  constructor(incomplete: readonly IncompleteMaterial[]) {
    const list = incomplete.map(
      ({ name, reason }) => `\n  - ${name === "" ? "<unnamed>" : name}\n    reason: ${reason}`,
    );
    const details = list.length === 0 ? "" : `\n\nUncaptured local sources:${list.join("")}`;
    super(
      "failed_precondition",
      "provenance materials are incomplete\n\nThe build requested complete provenance materials, " +
        `but not all dependencies could be captured.${details}`,
    );
    this.incomplete = incomplete;
  }
}
