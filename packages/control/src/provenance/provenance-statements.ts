import { IncompleteMaterialsError } from "@buildkit-ts/errdefs";
import { type Attestation, attestationKeys, isComplete, type ProvenanceOptions } from "@buildkit-ts/provenance";
import type { BridgeRef, BridgeResult } from "../bridge/bridge-ref.ts";
import type { BuildRequest } from "../build-request.ts";
import { HostUsage } from "../usage/host-usage.ts";
import { BuildTimes } from "./build-times.ts";
import { createDocument, type DocumentContext, type DocumentOptions, predicateTypeOf } from "./provenance-document.ts";
import type { RefProvenance, ResultProvenance } from "./result-provenance.ts";

/** What one build states of its result's provenance. Made when the build begins, and looks at the machine until disposed. */
export class ProvenanceStatements implements AsyncDisposable {
  readonly #options: ProvenanceOptions | undefined;
  readonly #context: DocumentContext;
  readonly #usage = new HostUsage();

  constructor(request: BuildRequest, environment: Readonly<Record<string, unknown>>) {
    const { provenance, compatibilityVersion, session } = request;
    this.#options = provenance;
    this.#context = { times: new BuildTimes(), environment, compatibilityVersion, session, usage: this.#usage };
  }

  /**
   * The result with the provenance that the client asked for.
   *
   * @throws {IncompleteMaterialsError} where complete materials were asked for and something was not captured.
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

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#usage[Symbol.asyncDispose]();
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

function requireComplete({ capture }: RefProvenance): void {
  if (isComplete(capture)) return;
  throw new IncompleteMaterialsError([
    ...capture.locals.map((name) => ({ name, reason: "local_source" })),
    ...capture.proxyIncomplete.map(({ name, reason, ...request }) => ({ name, reason, request })),
  ]);
}
