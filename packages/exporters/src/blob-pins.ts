import type { Digest } from "@buildkit-ts/oci";

/** Keeps blobs from being collected, for as long as an owner names them. */
export interface BlobPins {
  pinBlobs(owner: string, digests: readonly Digest[]): Promise<void>;
}
