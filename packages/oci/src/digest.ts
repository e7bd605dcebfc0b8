import { hash } from "node:crypto";
import { BuildError } from "@buildkit-ts/errdefs";

/** A content address, `algorithm:hex`. Only {@linkcode parseDigest} and the functions here make one. */
export type Digest = string & { readonly __brand: "Digest" };
/** The digest of a layer's uncompressed tar. */
export type DiffId = Digest & { readonly __kind: "DiffId" };
/** The digest that names a stack of layers (OCI image spec, "Layer ChainID"). */
export type ChainId = Digest & { readonly __kind: "ChainId" };

const digestPattern = /^(?:sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})$/;

/** Whether the text is a digest of a known algorithm in its canonical spelling. */
export function isDigest(text: string): text is Digest {
  return digestPattern.test(text);
}

/** @throws {BuildError} `invalid_argument`, naming the value. */
export function parseDigest(text: string): Digest {
  if (!isDigest(text))
    throw new BuildError(
      "invalid_argument",
      `Cannot parse digest "${text.slice(0, 200)}": not algorithm:hex of a known algorithm`,
    );
  return text;
}

/** The SHA-256 digest of bytes, or of a text's UTF-8 bytes. */
export function digestOf(bytes: Uint8Array | string): Digest {
  return `sha256:${hash("sha256", bytes, "hex")}` as Digest;
}

/** The part after the algorithm. */
export function digestHex(digest: Digest): string {
  return digest.slice(digest.indexOf(":") + 1);
}

/** The ChainID of each prefix of the layers, bottom first. */
export function chainIds(diffIds: readonly DiffId[]): ChainId[] {
  const ids: ChainId[] = [];
  for (const diffId of diffIds) {
    const parent = ids.at(-1);
    ids.push((parent === undefined ? diffId : digestOf(`${parent} ${diffId}`)) as ChainId);
  }
  return ids;
}
