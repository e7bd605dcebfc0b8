import { BuildError } from "@buildkit-ts/errdefs";
import { type Digest, digestHex } from "@buildkit-ts/oci";
import { DigestTree, TreeNode } from "./digest-tree.ts";

const version = 1;
const kinds = ["gap", "file", "symlink", "directory"] as const;
const kindMask = 3;
const hasDigest = 4;
const hasHeader = 8;
const digestBytes = 32;

/**
 * A tree in one compact piece: nodes in depth-first order, each `kind and flags`, name, digests, link, number of children.
 * Some 50 bytes a file, against 200 as JSON.
 */
export function encodeTree(tree: DigestTree): Uint8Array {
  const writer = new Writer();
  writer.byte(version);
  writer.node(tree.root);
  return writer.finish();
}

/** @throws {BuildError} `data_loss`, for bytes that are no tree. */
export function decodeTree(bytes: Uint8Array): DigestTree {
  const reader = new Reader(bytes);
  if (reader.byte() !== version) throw damaged();
  return new DigestTree(reader.node());
}

class Writer {
  #buffer: Buffer = Buffer.allocUnsafe(1 << 12);
  #length = 0;

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#length + bytes));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }

  byte(value: number): void {
    this.#reserve(1);
    this.#buffer[this.#length++] = value;
  }

  #number(value: number): void {
    let rest = value;
    for (; rest > 127; rest >>>= 7) this.byte((rest & 127) | 128);
    this.byte(rest);
  }

  #text(text: string): void {
    this.#number(text.length);
    this.#reserve(text.length);
    this.#length += this.#buffer.write(text, this.#length, "latin1");
  }

  #digest(digest: Digest): void {
    this.#reserve(digestBytes);
    this.#length += this.#buffer.write(digestHex(digest), this.#length, digestBytes, "hex");
  }

  node(node: TreeNode): void {
    const { digest, header, children } = node;
    const flags = (digest === undefined ? 0 : hasDigest) | (header === undefined ? 0 : hasHeader);
    this.byte(kinds.indexOf(node.kind) | flags);
    this.#text(node.name);
    if (digest !== undefined) this.#digest(digest);
    if (header !== undefined) this.#digest(header);
    if (node.kind === "symlink") this.#text(node.link);
    if (node.kind !== "gap" && node.kind !== "directory") return;
    this.#number(children.length);
    for (const child of children) this.node(child);
  }

  finish(): Uint8Array {
    return new Uint8Array(this.#buffer.subarray(0, this.#length));
  }
}

class Reader {
  readonly #buffer: Buffer;
  #position = 0;

  constructor(bytes: Uint8Array) {
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  byte(): number {
    const value = this.#buffer[this.#position++];
    if (value === undefined) throw damaged();
    return value;
  }

  #number(): number {
    let value = 0;
    for (let shift = 0; shift < 32; shift += 7) {
      const byte = this.byte();
      value |= (byte & 127) << shift;
      if (byte < 128) return value >>> 0;
    }
    throw damaged();
  }

  #take(length: number): Buffer {
    const end = this.#position + length;
    if (end > this.#buffer.length) throw damaged();
    const bytes = this.#buffer.subarray(this.#position, end);
    this.#position = end;
    return bytes;
  }

  #digest(): Digest {
    return `sha256:${this.#take(digestBytes).toString("hex")}` as Digest;
  }

  node(): TreeNode {
    const flags = this.byte();
    const kind = kinds[flags & kindMask] ?? "gap";
    const node = new TreeNode(this.#take(this.#number()).toString("latin1"), kind);
    if ((flags & hasDigest) !== 0) node.digest = this.#digest();
    if ((flags & hasHeader) !== 0) node.header = this.#digest();
    if (kind === "symlink") node.link = this.#take(this.#number()).toString("latin1");
    if (kind === "gap" || kind === "directory")
      for (let count = this.#number(); count > 0; count--) node.add(this.node());
    return node;
  }
}

function damaged(): BuildError {
  return new BuildError("data_loss", "Cannot decode content digests: the bytes are damaged");
}
