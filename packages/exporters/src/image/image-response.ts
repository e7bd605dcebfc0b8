import { BuildError } from "@buildkit-ts/errdefs";
import { type Descriptor, formatReference, parseReference, withDefaultTag } from "@buildkit-ts/oci";
import type { ExportInput } from "../exporter.ts";
import { formatGoJson } from "../options/go-json.ts";
import { type CommittedImage, orderDescriptor } from "./image-writer.ts";

/** What clients are told of an image: digests and the descriptor, for `--metadata-file` and `--iidfile`. */
export function describeImage(image: CommittedImage, descriptor: Descriptor): Record<string, string> {
  return {
    "containerimage.digest": image.descriptor.digest,
    ...(image.configDigest !== undefined && { "containerimage.config.digest": image.configDigest }),
    "containerimage.descriptor": Buffer.from(formatGoJson(orderDescriptor(descriptor))).toString("base64"),
  };
}

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
