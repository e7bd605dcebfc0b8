import { mediaTypes } from "@buildkit-ts/oci";
import { predicateTypeAnnotation } from "@buildkit-ts/provenance";
import type { BuildRequest } from "../build-request.ts";
import type { RecordedDocument } from "../history/recorded-document.ts";
import { predicateTypeOf } from "./provenance-document.ts";
import type { ProvenanceStatements } from "./provenance-statements.ts";
import type { ResultProvenance } from "./result-provenance.ts";

/** Every build has a record, so it must not cost what nobody asked for: generated graphs may have a hundred thousand steps. */
const maxRecordedSteps = 2000;

/**
 * What a build's record says of how the result came to be: everything, whatever the client wants to be stated. The steps
 * are looked at now, while the build's job is there; the documents are made when they are asked for.
 */
export function recordedProvenance(
  provenance: ResultProvenance,
  build: { readonly request: BuildRequest; readonly statements: ProvenanceStatements },
): () => Promise<RecordedDocument[]> {
  const { request, statements } = build;
  if (request.internal) return async () => await Promise.resolve([]);
  const trees = provenance.all();
  const options = {
    version: "v1",
    mode: "max",
    builderId: request.provenance?.builderId ?? "",
    reproducible: false,
    captureUsage: true,
    maxSteps: maxRecordedSteps,
  } as const;
  const annotations = { [predicateTypeAnnotation]: predicateTypeOf(options.version) };
  // Not with the build's signal: a build that was canceled while it exported has a record as well.
  const { signal } = new AbortController();
  return async () =>
    await Promise.all(
      trees.map(async ({ platform, described }) => ({
        platform,
        mediaType: mediaTypes.inToto,
        bytes: await statements.document(described, options, signal),
        annotations,
      })),
    );
}
