import type { Descriptor, Digest } from "@buildkit-ts/oci";

/** How much of a source's metadata somebody wants. */
export interface MetadataRequest {
  /** For images: `default`, `pull` or `local`; empty is the default. */
  readonly resolveMode: string;
  /** For images: their attestations, and who signed them. */
  readonly attestationChain: boolean;
  /** For images: predicate types of the attestations whose statements are wanted as well. */
  readonly predicateTypes: readonly string[];
  /** For git: the commit and the tag themselves. */
  readonly gitObjects: boolean;
  /** For files from web servers: another checksum than the usual one. */
  readonly checksum: ChecksumRequest | undefined;
}

/** Asks for the digest of a file's bytes and those of `suffix` after them, as PGP signs them. */
export interface ChecksumRequest {
  readonly algorithm: string;
  readonly suffix: Uint8Array;
}

/** A blob that was read, with what named it. */
export interface NamedBlob {
  readonly descriptor: Descriptor;
  readonly data: Uint8Array;
}

/** What leads from an image's index to the signatures of its attestations, for whoever verifies them. */
export interface AttestationChain {
  readonly root: Digest;
  readonly imageManifest: Digest | undefined;
  readonly attestationManifest: Digest | undefined;
  readonly signatureManifests: readonly Digest[];
  readonly blobs: ReadonlyMap<Digest, NamedBlob>;
}

/** An image's identity and config, found without its layers. */
export interface ImageMetadata {
  readonly kind: "image";
  readonly digest: Digest;
  readonly config: Uint8Array;
  readonly attestationChain: AttestationChain | undefined;
}

/** What is known of a source without its files. */
export type SourceMetadata =
  | ImageMetadata
  | {
      readonly kind: "git";
      /** Full name, or the commit itself. */
      readonly ref: string;
      /** What the ref points to: a commit or an annotated tag. */
      readonly checksum: string;
      /** The commit, where that is another object. */
      readonly commitChecksum: string | undefined;
      readonly commitObject: Uint8Array | undefined;
      readonly tagObject: Uint8Array | undefined;
    }
  | {
      readonly kind: "http";
      readonly digest: Digest;
      readonly fileName: string;
      /** Milliseconds since 1970. */
      readonly lastModified: number | undefined;
      readonly checksum: { readonly digest: string; readonly suffix: Uint8Array } | undefined;
    };
