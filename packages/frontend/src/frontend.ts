import type { Attestations } from "@buildkit-ts/provenance";
import type { FrontendClient } from "./frontend-client.ts";
import type { Reference } from "./reference.ts";

/** What a frontend gives back: one tree, or one for each platform, and metadata such as image configs. */
export interface FrontendResult {
  readonly ref: Reference | undefined;
  /** By platform id; empty for a single result. */
  readonly refs: ReadonlyMap<string, Reference | undefined>;
  readonly metadata: ReadonlyMap<string, Uint8Array>;
  /** Statements about the result, by platform id, such as what a scanner found in it. */
  readonly attestations?: Attestations<Reference>;
}

/**
 * Turns what a user wrote into a result.
 *
 *     build starts ──▶ frontend(client) ──▶ solve, read, resolve, warn … ──▶ result | error
 *
 * It runs in a container of the daemon (`runFrontendImage`) or in the client that started the build (`inClient`), and sees no
 * difference. Refs are valid until it returns; those of the result outlive it. A thrown error fails the build; a
 * `SourceError` is shown with the lines it points to.
 */
export type Frontend = (client: FrontendClient, options: { readonly signal: AbortSignal }) => Promise<FrontendResult>;
