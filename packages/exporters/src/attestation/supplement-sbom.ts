import { basename } from "node:path/posix";
import { attestationKeys, predicateTypes } from "@buildkit-ts/provenance";
import type { LayerFiles } from "./layer-files.ts";
import type { ReadyAttestation } from "./read-attestations.ts";

/** How the one who adds to a document names itself in it. */
const tool = "Tool: buildkit-ts";

/**
 * The list of what is in an image, with the layer that each file comes from: scanners see the tree only. Other
 * statements, documents that are no SPDX 2, and files that have a comment already stay as they are.
 */
export async function supplementSbom(
  attestation: ReadyAttestation,
  layers: LayerFiles,
  options: { readonly signal: AbortSignal },
): Promise<ReadyAttestation> {
  const document = attestation.predicate;
  if (!isCoreSbom(attestation) || !isSpdx(document)) return attestation;
  const files: unknown[] = [];
  for (const file of document.files ?? []) files.push(await withLayer(file, layers, options));
  const { creators = [], ...creation } = document.creationInfo ?? {};
  const predicate = {
    ...document,
    creationInfo: { ...creation, creators: [...creators, tool] },
    ...(document.files !== undefined && { files }),
  };
  return { ...attestation, predicate };
}

interface SpdxDocument {
  readonly spdxVersion: string;
  readonly files?: readonly unknown[];
  readonly creationInfo?: { readonly creators?: readonly unknown[] } | null;
}

function isCoreSbom({ predicateType, metadata, path }: ReadyAttestation): boolean {
  const core = metadata.get(attestationKeys.sbomCore);
  if (predicateType !== predicateTypes.spdx || core === undefined) return false;
  return basename(path).split(".", 1)[0] === Buffer.from(core).toString("utf8");
}

function isSpdx(value: unknown): value is SpdxDocument {
  if (!isRecord(value)) return false;
  const { spdxVersion, files, creationInfo } = value;
  const creators = isRecord(creationInfo) ? creationInfo["creators"] : undefined;
  return (
    typeof spdxVersion === "string" &&
    spdxVersion.startsWith("SPDX-2.") &&
    (files === undefined || Array.isArray(files)) &&
    (creationInfo === undefined || creationInfo === null || isRecord(creationInfo)) &&
    (creators === undefined || Array.isArray(creators))
  );
}

async function withLayer(
  file: unknown,
  layers: LayerFiles,
  options: { readonly signal: AbortSignal },
): Promise<unknown> {
  if (!isRecord(file) || typeof file["fileName"] !== "string" || (file["comment"] ?? "") !== "") return file;
  const layer = await layers.find(file["fileName"], options);
  return layer === undefined ? file : { ...file, comment: `layerID: ${layer}` };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
