import { createHash, type Hash } from "node:crypto";
import { type CompressedSink, type Compressor, GzipMembers } from "@buildkit-ts/compression";
import { BuildError } from "@buildkit-ts/errdefs";
import { encodeTarHeader, splitTarName, TarDecoder, type TarHeader, tarEnd, tarPadding } from "@buildkit-ts/tar";
import { encodeStargzFooter, tocName } from "./stargz-footer.ts";
import { formatToc, type TocEntry, tocEntryOf } from "./toc-entry.ts";

/** What a manifest says about an eStargz layer. */
export interface StargzResult {
  readonly tocDigest: string;
  /** Of the archive with its table of contents. */
  readonly uncompressedSize: number;
}

/** Larger files are cut, each part a member that can be read alone. */
const chunkBytes = 4 << 20;

/**
 * The archive has sparse files. What is stored of these is not their content, of which a reader of the table of contents wants
 * parts: the archive has to be written anew with their zeros.
 */
export class SparseFilesError extends BuildError {
  constructor() {
    super("unimplemented", "Cannot make eStargz layer: it has sparse files");
  }
}

interface OpenFile {
  entry: TocEntry;
  readonly size: number;
  readonly hash: Hash;
  chunk: { readonly entry: TocEntry; readonly hash: Hash } | undefined;
  read: number;
}

/**
 * A layer as eStargz: the archive as it is, but the content of each file begins a gzip member of its own, and a table of
 * contents that says where, with digests, comes after it. Any reader of gzip and tar takes it for an ordinary layer.
 */
export class StargzCompressor implements Compressor {
  readonly #members: GzipMembers;
  readonly #sink: CompressedSink;
  readonly #onAdded: (bytes: Uint8Array) => void;
  readonly #entries: TocEntry[] = [];
  readonly #users = new Map<number, string>();
  readonly #groups = new Map<number, string>();
  readonly #decoder: TarDecoder;
  /** Where, in the bytes of the current write, a member begins, and whose it is. */
  readonly #cuts: { readonly position: number; readonly entry: TocEntry }[] = [];
  #file: OpenFile | undefined;
  #size = 0;
  #result: StargzResult | undefined;

  /** @param options.onAdded Called with what comes after the archive, before it is compressed. */
  constructor(options: {
    readonly level: number;
    readonly sink: CompressedSink;
    readonly onAdded: (bytes: Uint8Array) => void;
  }) {
    this.#sink = options.sink;
    this.#onAdded = options.onAdded;
    this.#members = new GzipMembers(options.level, options.sink);
    this.#decoder = new TarDecoder({
      entry: (header) => this.#begin(header),
      data: (chunk) => this.#data(chunk),
      hole: () => {
        throw new SparseFilesError();
      },
      end: () => this.#end(),
    });
  }

  /** What the layer became, when it is finished. */
  get result(): StargzResult {
    if (this.#result === undefined) throw new BuildError("internal", "Cannot describe eStargz layer: not finished");
    return this.#result;
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.#decoder.write(chunk);
    let at = 0;
    for (const { position, entry } of this.#cuts.splice(0)) {
      await this.#members.write(chunk.subarray(at, position - this.#size));
      at = position - this.#size;
      await this.#members.begin((offset) => {
        entry.offset = offset;
      });
    }
    await this.#members.write(chunk.subarray(at));
    this.#size += chunk.length;
  }

  async finish(): Promise<void> {
    this.#decoder.finish();
    // All members must be written before it is known where they are.
    await this.#members.finish();
    const tocOffset = this.#members.writtenBytes;
    const hash = createHash("sha256");
    let length = 0;
    for (const part of formatToc(this.#entries)) length += part.length;
    await this.#add(encodeTarHeader({ ...tocHeader, size: length }));
    for (const part of formatToc(this.#entries)) {
      hash.update(part);
      await this.#add(part);
    }
    await this.#add(new Uint8Array(tarPadding(length)));
    await this.#add(tarEnd);
    await this.#members.finish();
    await this.#sink(encodeStargzFooter(tocOffset));
    this.#result = { tocDigest: `sha256:${hash.digest("hex")}`, uncompressedSize: this.#size };
  }

  [Symbol.dispose](): void {
    this.#members[Symbol.dispose]();
  }

  async #add(bytes: Uint8Array): Promise<void> {
    this.#onAdded(bytes);
    this.#size += bytes.length;
    await this.#members.write(bytes);
  }

  #begin(header: TarHeader): void {
    if (splitTarName(header.name).join("/") === tocName)
      throw new BuildError("invalid_argument", `Cannot make eStargz layer: it has a file "${tocName}" already`);
    const entry = tocEntryOf(header, {
      user: nameIfChanged(this.#users, header.uid, header.userName),
      group: nameIfChanged(this.#groups, header.gid, header.groupName),
    });
    if (header.type !== "file") {
      this.#entries.push(entry);
      return;
    }
    this.#file = { entry, size: header.size, hash: createHash("sha256"), chunk: undefined, read: 0 };
    if (header.size === 0) this.#entries.push(entry);
  }

  #data(data: Uint8Array): void {
    const file = this.#file;
    if (file === undefined) return;
    file.hash.update(data);
    // The decoder has taken all of this piece.
    const start = this.#decoder.position - data.length;
    for (let at = 0; at < data.length; ) {
      const within = file.read % chunkBytes;
      if (within === 0) this.#beginChunk(file, start + at);
      const part = data.subarray(at, at + chunkBytes - within);
      file.chunk?.hash.update(part);
      at += part.length;
      file.read += part.length;
    }
  }

  #beginChunk(file: OpenFile, position: number): void {
    this.#endChunk(file);
    const isWhole = file.size - file.read >= chunkBytes;
    const first = file.read === 0;
    const entry: TocEntry = {
      ...(first ? file.entry : { name: file.entry.name, type: "chunk", chunkOffset: file.read }),
      ...(isWhole && { chunkSize: chunkBytes }),
    };
    if (first) file.entry = entry;
    file.chunk = { entry, hash: createHash("sha256") };
    this.#entries.push(entry);
    this.#cuts.push({ position, entry });
  }

  #endChunk({ chunk }: OpenFile): void {
    if (chunk !== undefined) chunk.entry.chunkDigest = `sha256:${chunk.hash.digest("hex")}`;
  }

  #end(): void {
    const file = this.#file;
    if (file === undefined) return;
    this.#endChunk(file);
    file.entry.digest = `sha256:${file.hash.digest("hex")}`;
    this.#file = undefined;
  }
}

const tocHeader = { name: tocName, type: "file", mode: 0, uid: 0, gid: 0, mtimeSeconds: 0 } as const;

/** A name is written with the first entry that has it. */
function nameIfChanged(known: Map<number, string>, id: number, name = ""): string {
  if (name === "" || known.get(id) === name) return "";
  known.set(id, name);
  return name;
}
