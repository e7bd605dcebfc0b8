import { decodeBytes } from "./byte-text.ts";
import { type DecodedEntry, decodeRawHeader, mergeHeader, type PendingMeta, type RawHeader } from "./decode-header.ts";
import { malformed } from "./malformed.ts";
import { decodePaxRecords } from "./pax-records.ts";
import { SparseContent } from "./sparse-content.ts";
import { addSparseBlock, SparseMapText } from "./sparse-header.ts";
import { checkSparseMap } from "./sparse-map.ts";
import { type TarHeader, tarBlockSize, tarPadding } from "./tar-header.ts";

/** What a {@linkcode TarDecoder} calls, in the order of the archive. */
export interface TarVisitor {
  entry(header: TarHeader): void;
  /** A part of the current entry's content. The bytes are only valid during the call. */
  data(chunk: Uint8Array): void;
  /** So many zeros of the current entry's content, which the archive does not hold: it may be more than any disk has. */
  hole(length: number): void;
  /** The current entry is complete. */
  end(): void;
}

const maxMetaBytes = 1 << 20;
const emptyMeta: PendingMeta = {};

type State =
  | { readonly kind: "header" }
  | { readonly kind: "meta"; readonly raw: RawHeader; readonly parts: Buffer[] }
  | { readonly kind: "content"; readonly sparse?: SparseContent }
  | { readonly kind: "mapBlocks"; readonly entry: DecodedEntry; readonly map: number[] }
  | { readonly kind: "mapText"; readonly entry: DecodedEntry; readonly map: number[]; readonly text: SparseMapText }
  | { readonly kind: "done" };

/**
 * Reads an archive from chunks of any size: ustar, pax, GNU long names, base-256 numbers, seventh edition, sparse files
 * of GNU tar in all its four formats.
 *
 * Memory is bounded: meta entries hold at most 1 MiB, maps of sparse files so many regions, contents pass through. Global pax
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
  #position = 0;

  constructor(visitor: TarVisitor) {
    this.#visitor = visitor;
  }

  /** How many bytes were read; in a call of the visitor up to the end of what it is called for. */
  get position(): number {
    return this.#position;
  }

  /** Whether the two zero blocks were read; what follows is ignored. */
  get done(): boolean {
    return this.#state.kind === "done";
  }

  /** @throws {BuildError} `invalid_argument`, for bytes that are no archive. */
  write(chunk: Uint8Array): void {
    let rest = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    while (rest.length > 0 && this.#state.kind !== "done") {
      if (this.#state.kind === "mapText") rest = this.#takeMapText(rest, this.#state);
      else if (this.#remaining > 0) rest = this.#takeContent(rest);
      else if (this.#padding > 0) rest = this.#skipPadding(rest);
      else rest = this.#takeHeader(rest);
    }
  }

  /** @throws {BuildError} `invalid_argument`, when the archive stops in the middle. An absent end marker is accepted. */
  finish(): void {
    const { kind } = this.#state;
    const isBetween = kind === "header" || kind === "done";
    if (this.#remaining > 0 || this.#filled > 0 || this.#meta !== emptyMeta || !isBetween)
      throw malformed("it ends in the middle of an entry");
  }

  #takeContent(chunk: Buffer): Buffer {
    const part = chunk.length <= this.#remaining ? chunk : chunk.subarray(0, this.#remaining);
    this.#remaining -= part.length;
    this.#position += part.length;
    if (this.#state.kind === "meta") this.#state.parts.push(Buffer.from(part));
    else if (this.#state.kind === "content") (this.#state.sparse ?? this.#visitor).data(part);
    if (this.#remaining === 0) this.#endContent();
    return chunk.subarray(part.length);
  }

  #skipPadding(chunk: Buffer): Buffer {
    const skipped = Math.min(this.#padding, chunk.length);
    this.#padding -= skipped;
    this.#position += skipped;
    return chunk.subarray(skipped);
  }

  #takeHeader(chunk: Buffer): Buffer {
    const taken = Math.min(tarBlockSize - this.#filled, chunk.length);
    this.#position += taken;
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

  /** The blocks of the content that hold a map are read whole. */
  #takeMapText(chunk: Buffer, state: State & { readonly kind: "mapText" }): Buffer {
    const taken = Math.min(tarBlockSize - this.#filled, chunk.length, this.#remaining);
    chunk.copy(this.#block, this.#filled, 0, taken);
    this.#filled += taken;
    this.#position += taken;
    this.#remaining -= taken;
    const isWhole = this.#filled === tarBlockSize;
    const isComplete = isWhole && state.text.add(this.#block);
    if (isWhole) this.#filled = 0;
    if (isComplete) this.#beginSparse({ ...state.entry, stored: this.#remaining }, state.map);
    else if (this.#remaining === 0) throw malformed("the map of a sparse file is cut off");
    return chunk.subarray(taken);
  }

  #header(block: Buffer): void {
    if (this.#state.kind === "mapBlocks") {
      const { entry, map } = this.#state;
      if (!addSparseBlock(map, block)) this.#beginSparse(entry, map);
      return;
    }
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
    const entry = mergeHeader(raw, this.#meta);
    this.#meta = emptyMeta;
    this.#beginEntry(entry);
  }

  #beginEntry(entry: DecodedEntry): void {
    const { header, stored, sparse } = entry;
    if (sparse?.rest === "blocks") this.#state = { kind: "mapBlocks", entry, map: sparse.map };
    else if (sparse?.rest === "content") {
      if (stored === 0) throw malformed("the map of a sparse file is cut off");
      this.#begin({ kind: "mapText", entry, map: sparse.map, text: new SparseMapText(sparse.map) }, stored);
    } else if (sparse !== undefined) this.#beginSparse(entry, sparse.map);
    else {
      this.#visitor.entry(header);
      this.#begin({ kind: "content" }, stored);
    }
  }

  #beginSparse({ header, stored }: DecodedEntry, map: readonly number[]): void {
    const { size } = header;
    checkSparseMap(map, { size, stored });
    this.#visitor.entry(header);
    this.#begin({ kind: "content", sparse: new SparseContent(map, size, this.#visitor) }, stored);
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
    if (state.kind === "content") {
      state.sparse?.finish();
      this.#visitor.end();
    } else if (state.kind === "meta") this.#addMeta(state.raw.flag, Buffer.concat(state.parts));
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
