import type { Digest } from "@buildkit-ts/oci";

/** What a statement is about: the result itself, or what its maker says. */
export interface StatementSubject {
  readonly kind: "self" | "raw";
  readonly name: string;
  readonly digests: readonly Digest[];
}

/**
 * A statement about a result that travels with it. `R` is how its maker names trees.
 *
 * The predicate is either a file at `path` of `ref`, or given by `content` when it is needed: provenance is written after
 * the layers are. A *bundle* is a directory of whole statements.
 */
export interface Attestation<R> {
  readonly kind: "in-toto" | "bundle";
  /** Why it is there, and how it is handled; see {@linkcode attestationKeys}. */
  readonly metadata: ReadonlyMap<string, Uint8Array>;
  readonly ref: R | undefined;
  readonly path: string;
  readonly content?: (options: { readonly signal: AbortSignal }) => Promise<Uint8Array>;
  /** Of a bundle: the type that its statements must have; empty for any. */
  readonly predicateType: string;
  readonly subjects: readonly StatementSubject[];
}

/** Keys of an attestation's metadata. */
export const attestationKeys = {
  /** `sbom` or `provenance`. */
  reason: "reason",
  /** Base name of the statement that describes the result itself, among those of a bundle. */
  sbomCore: "sbom-core",
  /** `true`: only for images. */
  inlineOnly: "inline-only",
} as const;

/** Predicate types that are handled in a way of their own. */
export const predicateTypes = {
  provenanceV1: "https://slsa.dev/provenance/v1",
  provenanceV02: "https://slsa.dev/provenance/v0.2",
  spdx: "https://spdx.dev/Document",
} as const;

/** Whether it shall be part of images only. */
export function isInlineOnly(attestation: Pick<Attestation<unknown>, "metadata">): boolean {
  return textOf(attestation.metadata.get(attestationKeys.inlineOnly)) === "true";
}

/** Whether a type is one of SLSA's provenance: only the daemon may state that. */
export function isProvenanceType(predicateType: string): boolean {
  return predicateType.startsWith("https://slsa.dev/provenance/");
}

function textOf(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? "" : Buffer.from(bytes).toString("utf8");
}
