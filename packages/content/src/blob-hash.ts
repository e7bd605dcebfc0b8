import { createHash, type Hash } from "node:crypto";
import { setImmediate as nextTurn } from "node:timers/promises";
import { BuildError } from "@buildkit-ts/errdefs";
import { type Digest, digestHex } from "@buildkit-ts/oci";

/** A megabyte hashes in 0.5 ms; more at once would hold up everything else. */
const sliceBytes = 1 << 20;

/** What the bytes of a blob turned out to be. */
export interface WrittenBlob {
  readonly digest: Digest;
  readonly size: number;
}

/** Hashes and counts a blob's bytes while they pass by. */
export class BlobHash {
  readonly #hash: Hash = createHash("sha256");
  size = 0;

  async update(chunk: Uint8Array): Promise<void> {
    this.size += chunk.byteLength;
    for (let start = 0; start < chunk.byteLength; start += sliceBytes) {
      if (start > 0) await nextTurn();
      this.#hash.update(chunk.subarray(start, start + sliceBytes));
    }
  }

  /**
   * Ends it.
   *
   * @throws {BuildError} `data_loss`, if the bytes are not the expected ones.
   */
  verify(expected: Partial<WrittenBlob>): WrittenBlob {
    const actual = { digest: `sha256:${this.#hash.digest("hex")}` as Digest, size: this.size };
    verifyBlob(actual, expected);
    return actual;
  }
}

/** @throws {BuildError} `data_loss`, if what was written is not what was expected. */
export function verifyBlob(actual: WrittenBlob, expected: Partial<WrittenBlob>): void {
  const name = expected.digest ?? actual.digest;
  if (expected.digest !== undefined && !expected.digest.startsWith("sha256:"))
    throw new BuildError("unimplemented", `Cannot commit blob "${name}": only sha256 is supported`);
  if (expected.size !== undefined && expected.size !== actual.size)
    throw new BuildError("data_loss", `Cannot commit blob "${name}": ${actual.size} bytes instead of ${expected.size}`);
  if (expected.digest !== undefined && expected.digest !== actual.digest)
    throw new BuildError("data_loss", `Cannot commit blob "${name}": its bytes have digest ${actual.digest}`);
}

/** The hexadecimal part, checked, since it becomes a file name. @throws {BuildError} `invalid_argument` */
export function blobFileName(digest: Digest): string {
  const hex = digestHex(digest);
  if (!digest.startsWith("sha256:") || !/^[0-9a-f]{64}$/.test(hex))
    throw new BuildError("invalid_argument", `Cannot name blob "${digest.slice(0, 200)}": not a sha256 digest`);
  return hex;
}

/** The error for a blob that is not there. */
export function missingBlob(digest: Digest): BuildError {
  return new BuildError("not_found", `Cannot open blob "${digest}": not found`);
}
