import { decodeBytes } from "./byte-text.ts";
import { decodeRawHeader, malformed, mergeHeader, type PendingMeta, type RawHeader } from "./decode-header.ts";
import { decodePaxRecords } from "./pax-records.ts";
import { type TarHeader, tarBlockSize, tarPadding } from "./tar-header.ts";

/** What a {@linkcode TarDecoder} calls, in the order of the archive. */
export interface TarVisitor {
  entry(header: TarHeader): void;
  /** A part of the current entry's content. The bytes are only valid during the call. */
  data(chunk: Uint8Array): void;
  /** The current entry is complete. */
  end(): void;
}

const maxMetaBytes = 1 << 20;
const emptyMeta: PendingMeta = {};

type State =
  | { readonly kind: "header" }
  | { readonly kind: "meta"; readonly raw: RawHeader; readonly parts: Buffer[] }
  | { readonly kind: "content" }
  | { readonly kind: "done" };

/**
 * Reads an archive from chunks of any size: ustar, pax, GNU long names, base-256 numbers, seventh edition.
 *
 * Memory is bounded: meta entries hold at most 1 MiB, contents pass through. Sparse entries are refused. Global pax
 * headers are skipped, as Go's reader leaves them to its caller and containerd ignores them.
 */
export class TarDecoder {
  readonly #visitor: TarVisitor;
  readonly #block = Buffer.alloc(tarBlockSize);
  #filled = 0;
  #state: State = { kind: "header" };
  #meta: PendingMeta = emptyMeta;
  #remaining = 0;
  #padding = 0;
  #zeroBlock = false;

  constructor(visitor: TarVisitor) {
    this.#visitor = visitor;
  }

  /** Whether the two zero blocks were read; what follows is ignored. */
  get done(): boolean {
    return this.#state.kind === "done";
  }

  /** @throws {BuildError} `invalid_argument`, for bytes that are no archive. */
  write(chunk: Uint8Array): void {
    let rest = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    while (rest.length > 0 && this.#state.kind !== "done") {
      if (this.#remaining > 0) rest = this.#takeContent(rest);
      else if (this.#padding > 0) rest = this.#skipPadding(rest);
      else rest = this.#takeHeader(rest);
    }
  }

  /** @throws {BuildError} `invalid_argument`, when the archive stops in the middle. An absent end marker is accepted. */
  finish(): void {
    const open = this.#remaining > 0 || this.#filled > 0 || this.#meta !== emptyMeta || this.#state.kind === "meta";
    if (open) throw malformed("it ends in the middle of an entry");
  }

  #takeContent(chunk: Buffer): Buffer {
    const part = chunk.length <= this.#remaining ? chunk : chunk.subarray(0, this.#remaining);
    this.#remaining -= part.length;
    if (this.#state.kind === "meta") this.#state.parts.push(Buffer.from(part));
    else if (this.#state.kind === "content") this.#visitor.data(part);
    if (this.#remaining === 0) this.#endContent();
    return chunk.subarray(part.length);
  }

  #skipPadding(chunk: Buffer): Buffer {
    const skipped = Math.min(this.#padding, chunk.length);
    this.#padding -= skipped;
    return chunk.subarray(skipped);
  }

  #takeHeader(chunk: Buffer): Buffer {
    const taken = Math.min(tarBlockSize - this.#filled, chunk.length);
    if (this.#filled === 0 && taken === tarBlockSize) {
      // The common case needs no copy.
      this.#header(chunk.subarray(0, tarBlockSize));
      return chunk.subarray(tarBlockSize);
    }
    chunk.copy(this.#block, this.#filled, 0, taken);
    this.#filled += taken;
    if (this.#filled === tarBlockSize) {
      this.#filled = 0;
      this.#header(this.#block);
    }
    return chunk.subarray(taken);
  }

  #header(block: Buffer): void {
    if (block.equals(zeros)) {
      if (this.#zeroBlock && this.#meta === emptyMeta) this.#state = { kind: "done" };
      this.#zeroBlock = true;
      return;
    }
    if (this.#zeroBlock) throw malformed("a header follows a zero block");
    const raw = decodeRawHeader(block);
    if (/[xgLK]/.test(raw.flag)) {
      if (raw.size < 0 || raw.size > maxMetaBytes) throw malformed("a meta entry exceeds 1 MiB");
      this.#begin({ kind: "meta", raw, parts: [] }, raw.size);
      return;
    }
    const header = mergeHeader(raw, this.#meta);
    this.#meta = emptyMeta;
    this.#visitor.entry(header);
    this.#begin({ kind: "content" }, header.size);
  }

  #begin(state: State, size: number): void {
    this.#state = state;
    this.#remaining = size;
    this.#padding = tarPadding(size);
    if (size === 0) this.#endContent();
  }

  #endContent(): void {
    const state = this.#state;
    this.#state = { kind: "header" };
    if (state.kind === "content") this.#visitor.end();
    else if (state.kind === "meta") this.#addMeta(state.raw.flag, Buffer.concat(state.parts));
  }

  #addMeta(flag: string, bytes: Buffer): void {
    const nul = bytes.indexOf(0);
    const text = (): string => decodeBytes(nul < 0 ? bytes : bytes.subarray(0, nul));
    if (flag === "x") this.#meta = { ...this.#meta, pax: decodePaxRecords(bytes) };
    else if (flag === "L") this.#meta = { ...this.#meta, longName: text() };
    else if (flag === "K") this.#meta = { ...this.#meta, longLink: text() };
    else decodePaxRecords(bytes);
  }
}

const zeros = Buffer.alloc(tarBlockSize);
