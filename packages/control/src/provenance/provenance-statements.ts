import { BuildError } from "@buildkit-ts/errdefs";
import { type Attestation, attestationKeys, isComplete, type ProvenanceOptions } from "@buildkit-ts/provenance";
import type { BridgeRef, BridgeResult } from "../bridge/bridge-ref.ts";
import type { BuildRequest } from "../build-request.ts";
import { BuildTimes } from "./build-times.ts";
import { createDocument, type DocumentContext, type DocumentOptions, predicateTypeOf } from "./provenance-document.ts";
import type { RefProvenance, ResultProvenance } from "./result-provenance.ts";

/** What one build states of its result's provenance. Made when the build begins. */
export class ProvenanceStatements {
  readonly #options: ProvenanceOptions | undefined;
  readonly #context: DocumentContext;

  constructor(request: BuildRequest, environment: Readonly<Record<string, unknown>>) {
    const { provenance, compatibilityVersion, session } = request;
    this.#options = provenance;
    this.#context = { times: new BuildTimes(), environment, compatibilityVersion, session };
  }

  /**
   * The result with the provenance that the client asked for.
   *
   * @throws {BuildError} `failed_precondition`, where complete materials were asked for and something was not captured.
   */
  addTo(result: BridgeResult, provenance: ResultProvenance): BridgeResult {
    const options = this.#options;
    if (options === undefined) return result;
    const attestations = new Map(result.attestations);
    for (const { id } of provenance.platforms) {
      const described = provenance.find(id);
      if (described === undefined) continue;
      if (options.completeMaterials) requireComplete(described);
      attestations.set(id, [...(attestations.get(id) ?? []), this.#attestation(described, options)]);
    }
    return { ...result, attestations };
  }

  /** The document of one tree as text, for records. */
  async document(described: RefProvenance, options: DocumentOptions, signal: AbortSignal): Promise<Buffer> {
    const predicate = await createDocument(described, options, { ...this.#context, signal });
    return Buffer.from(JSON.stringify(predicate, undefined, "  "));
  }

  #attestation(described: RefProvenance, options: ProvenanceOptions): Attestation<BridgeRef> {
    return {
      kind: "in-toto",
      metadata: new Map([
        [attestationKeys.reason, Buffer.from("provenance")],
        [attestationKeys.inlineOnly, Buffer.from(String(options.inlineOnly))],
      ]),
      ref: undefined,
      path: options.fileName,
      content: async ({ signal }) => await this.document(described, options, signal),
      predicateType: predicateTypeOf(options.version),
      subjects: [],
    };
  }
}

/** With BuildKit's text, which names what was not captured. */
function requireComplete({ capture }: RefProvenance): void {
  if (isComplete(capture)) return;
  const locals = capture.locals.map((name) => `\n  - ${name === "" ? "<unnamed>" : name}\n    reason: local_source`);
  const details = locals.length === 0 ? "" : `\n\nUncaptured local sources:${locals.join("")}`;
  throw new BuildError(
    "failed_precondition",
    "provenance materials are incomplete\n\nThe build requested complete provenance materials, " +
      `but not all dependencies could be captured.${details}`,
  );
}
