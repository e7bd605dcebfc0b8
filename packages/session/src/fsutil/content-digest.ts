import { createHash, type Hash, hash } from "node:crypto";

/** Of files up to this size the bytes are gathered and hashed in one call: a `Hash` costs more than hashing them. */
const smallBytes = 64 << 10;
const scratch = Buffer.allocUnsafeSlow(smallBytes + 4096);

/** The digest of a header and the bytes that follow it. Those of most files come in one piece. */
export class ContentDigest {
  readonly #header: string | Uint8Array;
  readonly #sizeBytes: number;
  #hash: Hash | undefined;
  #digest: string | undefined;

  /** @param sizeBytes How many bytes are to follow, if that is known. */
  constructor(header: string | Uint8Array, sizeBytes: number) {
    this.#header = header;
    this.#sizeBytes = sizeBytes;
  }

  update(data: Uint8Array): void {
    if (this.#digest !== undefined) throw new Error("Cannot hash more bytes than were announced");
    if (this.#hash === undefined && data.length === this.#sizeBytes) {
      this.#digest = digestOfParts(this.#header, data);
      if (this.#digest !== undefined) return;
    }
    this.#hash ??= createHash("sha256").update(this.#header);
    this.#hash.update(data);
  }

  /** `sha256:` and hex digits. */
  finish(): string {
    if (this.#hash !== undefined) return `sha256:${this.#hash.digest("hex")}`;
    return this.#digest ?? headerDigest(this.#header);
  }
}

/** The digest of an entry without bytes. */
export function headerDigest(header: string | Uint8Array): string {
  return `sha256:${hash("sha256", header, "hex")}`;
}

/** Undefined, if they are too large to be put together. */
function digestOfParts(header: string | Uint8Array, data: Uint8Array): string | undefined {
  const length = typeof header === "string" ? Buffer.byteLength(header) : header.length;
  if (length + data.length > scratch.length) return undefined;
  if (typeof header === "string") scratch.write(header);
  else scratch.set(header);
  scratch.set(data, length);
  return headerDigest(scratch.subarray(0, length + data.length));
}
