import { createHash } from "node:crypto";
import { type BigIntStats, createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import type { Digest } from "@buildkit-ts/oci";

/** Of how many blobs it is remembered that they were whole; others are hashed again. */
const maxKnown = 10_000;

/**
 * Knows which files of blobs were seen whole. A file that is still the same one is not read again: whoever changes its bytes
 * changes its time as well.
 */
export class IntactBlobs {
  readonly #known = new Map<Digest, string>();
  readonly #reading = new Map<string, Promise<boolean>>();

  /** Notes that the file that is there now is whole: this process wrote it. */
  async note(digest: Digest, path: string): Promise<void> {
    this.#remember(digest, signatureOf(await stat(path, { bigint: true })));
  }

  /** Whether the file's bytes are those of the digest. */
  async has(digest: Digest, path: string, file: BigIntStats): Promise<boolean> {
    const signature = signatureOf(file);
    if (this.#known.get(digest) === signature) return true;
    const key = `${digest} ${signature}`;
    let reading = this.#reading.get(key);
    if (reading === undefined) {
      reading = isWhole(digest, path).finally(() => this.#reading.delete(key));
      this.#reading.set(key, reading);
    }
    const isIntact = await reading;
    if (isIntact) this.#remember(digest, signature);
    return isIntact;
  }

  #remember(digest: Digest, signature: string): void {
    this.#known.delete(digest);
    this.#known.set(digest, signature);
    const [oldest] = this.#known.keys();
    if (this.#known.size > maxKnown && oldest !== undefined) this.#known.delete(oldest);
  }
}

function signatureOf({ ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return `${ino} ${size} ${mtimeNs} ${ctimeNs}`;
}

async function isWhole(digest: Digest, path: string): Promise<boolean> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return `sha256:${hash.digest("hex")}` === digest;
}
