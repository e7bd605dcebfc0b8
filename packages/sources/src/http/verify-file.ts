import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { BuildError } from "@buildkit-ts/errdefs";
import { verifyPgpSignature } from "../signatures/pgp-signature.ts";
import type { ChecksumRequest } from "../source-metadata.ts";

/** Who must have signed a file: armoured PGP keys, and a detached signature. */
export interface FileSignature {
  readonly publicKey: string;
  readonly signature: string;
}

const maxSuffixBytes = 4096;
const algorithms = ["sha256", "sha384", "sha512"];

/** @throws {BuildError} `permission_denied`, unless the signature is by one of the keys. */
export async function verifyFile(path: string, { publicKey, signature }: FileSignature): Promise<void> {
  try {
    await verifyPgpSignature(
      createReadStream(path) as AsyncIterable<Buffer>,
      { armored: signature, publicKeys: publicKey },
      { rejectExpired: false },
    );
  } catch (error) {
    const { code, message } = BuildError.from(error);
    throw new BuildError(code, `failed to verify pgp signature: ${message}`, { cause: error });
  }
}

/** @throws {BuildError} `invalid_argument`, for an algorithm or a length that is not offered. */
export function checkChecksumRequest({ algorithm, suffix }: ChecksumRequest): void {
  if (suffix.length > maxSuffixBytes)
    throw new BuildError("invalid_argument", `http checksum request suffix exceeds max size ${maxSuffixBytes}`);
  if (!algorithms.includes(algorithm))
    throw new BuildError("invalid_argument", `unsupported checksum algorithm ${algorithm}`);
}

/** The digest of a file's bytes and the suffix after them. */
export async function digestWithSuffix(
  path: string,
  { algorithm, suffix }: ChecksumRequest,
): Promise<{ readonly digest: string; readonly suffix: Uint8Array }> {
  const hash = createHash(algorithm);
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return { digest: `${algorithm}:${hash.update(suffix).digest("hex")}`, suffix };
}
