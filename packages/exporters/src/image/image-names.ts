import { BuildError } from "@buildkit-ts/errdefs";
import { formatReference, parseReference, withDefaultTag } from "@buildkit-ts/oci";
import type { ExportInput } from "../exporter.ts";

/** The names of an output: those of its attribute, or the frontend's for `*`. */
export function outputNames(name: string, metadata: ExportInput["metadata"]): string[] {
  const chosen = name === "*" ? metadata.get("image.name") : undefined;
  const text = chosen === undefined ? name : Buffer.from(chosen).toString("utf8");
  return text === "" ? [] : text.split(",");
}

/** @throws {BuildError} `invalid_argument`, `failed to parse <name>: …`. */
export function normalizeName(name: string): string {
  try {
    return formatReference(withDefaultTag(parseReference(name)));
  } catch (error) {
    const { code, message } = BuildError.from(error);
    throw new BuildError(code, `failed to parse ${name.slice(0, 300)}: ${message}`, { cause: error });
  }
}
