import { type Digest, digestHex, digestOf } from "@buildkit-ts/oci";

/** The output index of keys that stand for an input's content and not for an op's output. */
export const contentOutput = -1;

/**
 * What a key without inputs is known by everywhere, and what exported records are named by: BuildKit's `rootKey`.
 *
 * Digests of the algorithm `random` stay as they are, so that stores and exporters can leave them out.
 */
export function rootKey(digest: Digest, output: number): Digest {
  if (isRandom(digest)) return `random:${digestHex(digest)}` as Digest;
  return digestOf(`${digest}@${output}`);
}

/** Whether the digest was made up for one build, such as that of a local source without a session. */
export function isRandom(digest: Digest): boolean {
  return digest.startsWith("random:");
}
