import { BuildError } from "./build-error.ts";

/** Something that went into a build and has no digest that could be stated. */
export interface IncompleteMaterial {
  /** Of a client's directory, or the command of a step. */
  readonly name: string;
  /** `local_source`, or why a request of a step is no material. */
  readonly reason: string;
  /** Of a request of a step: whose it was, and what it was for. */
  readonly request?: { readonly op: string; readonly method: string; readonly uri: string };
}

/** A build shall name all of its materials, and cannot. The text is BuildKit's and lists what is missing. */
export class IncompleteMaterialsError extends BuildError {
  override readonly name = "IncompleteMaterialsError";
  readonly incomplete: readonly IncompleteMaterial[];

  constructor(incomplete: readonly IncompleteMaterial[]) {
    const locals = incomplete.filter(({ request }) => request === undefined);
    const requests = incomplete.filter(({ request }) => request !== undefined);
    const details = [
      ...(locals.length === 0 ? [] : [`\n\nUncaptured local sources:${locals.map(describe).join("")}`]),
      ...(requests.length === 0 ? [] : [`\n\nUncaptured requests:${requests.map(describe).join("")}`]),
    ].join("");
    super(
      "failed_precondition",
      "provenance materials are incomplete\n\nThe build requested complete provenance materials, " +
        `but not all dependencies could be captured.${details}`,
    );
    this.incomplete = incomplete;
  }
}

function describe({ name, reason, request }: IncompleteMaterial): string {
  const { op = "", method = "", uri = "" } = request ?? {};
  const title = [name, op, uri, "<unnamed>"].find((text) => text !== "");
  const lines = [
    `- ${title}`,
    ...(method === "" ? [] : [`  method: ${method}`]),
    ...(uri === "" ? [] : [`  url: ${uri}`]),
    `  reason: ${reason}`,
  ];
  return lines.map((line) => `\n  ${line}`).join("");
}
