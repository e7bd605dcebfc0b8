import { createHash, type Hash } from "node:crypto";
import { closeSync, constants, fsyncSync, openSync, readSync, writeSync } from "node:fs";
import { type Compressor, createCompressor, freeBuffer } from "@buildkit-ts/compression";
import { BuildError } from "@buildkit-ts/errdefs";
import type { Compression, DiffId, Digest } from "@buildkit-ts/oci";
import { tarPadding } from "@buildkit-ts/tar";
import { StargzCompressor, type StargzResult } from "../stargz/stargz-compressor.ts";

/** Digests and size of a layer that was written. */
export interface WrittenLayer {
  readonly diffId: DiffId;
  readonly digest: Digest;
  readonly size: number;
  readonly stargz?: StargzResult;
  /** Whether the table of contents of an eStargz source was left out, so that the DiffID is another one. */
  readonly isPayloadOfStargz?: boolean;
}

export interface LayerOutputOptions {
  readonly path: string;
  readonly compression: { readonly type: Compression; readonly level?: number };
  /** Throws when the work shall stop. */
  readonly checkAborted: () => void;
}

const bufferSize = 1 << 20;

/**
 * A layer's bytes on their way: collected into large pieces, hashed, compressed, hashed again and written.
 *
 * Methods give a promise only where the caller must wait, so that thousands of small entries cost no turns of the loop.
 */
export class LayerOutput implements Disposable {
  readonly #options: LayerOutputOptions;
  readonly #buffer = Buffer.allocUnsafeSlow(bufferSize);
  readonly #compressor: Compressor;
  readonly #stargz: StargzCompressor | undefined;
  readonly #diffHash = createHash("sha256");
  readonly #blobHash: Hash | undefined;
  readonly #fd: number;
  #filled = 0;
  #size = 0;
  #open = true;

  constructor(options: LayerOutputOptions) {
    this.#options = options;
    const sink = (chunk: Uint8Array): void => this.#write(chunk);
    const { type, level } = options.compression;
    const onAdded = (bytes: Uint8Array): void => void this.#diffHash.update(bytes);
    this.#stargz = type === "estargz" ? new StargzCompressor({ level: level ?? 6, sink, onAdded }) : undefined;
    this.#compressor =
      this.#stargz ??
      createCompressor({ type: type as Exclude<Compression, "estargz">, ...(level !== undefined && { level }) }, sink);
    // Uncompressed bytes need not be hashed twice.
    this.#blobHash = options.compression.type === "uncompressed" ? undefined : createHash("sha256");
    this.#fd = openSync(
      options.path,
      constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW,
      0o600,
    );
  }

  append(bytes: Uint8Array): Promise<void> | undefined {
    if (this.#filled + bytes.length > bufferSize) return this.#appendLarge(bytes);
    this.#buffer.set(bytes, this.#filled);
    this.#filled += bytes.length;
    return undefined;
  }

  /** Appends `size` bytes of an open file and the padding to a full block. */
  async appendFile(file: { readonly fd: number; readonly size: number; readonly name: string }): Promise<void> {
    for (let remaining = file.size; remaining > 0; ) {
      if (this.#filled === bufferSize) await this.#flush();
      const room = Math.min(bufferSize - this.#filled, remaining);
      const count = readSync(file.fd, this.#buffer, this.#filled, room, null);
      if (count === 0) throw new BuildError("aborted", `Cannot read file "${file.name}": it became shorter meanwhile`);
      this.#filled += count;
      remaining -= count;
    }
    await this.append(zeros.subarray(0, tarPadding(file.size)));
  }

  async finish(): Promise<WrittenLayer> {
    await this.#flush();
    await this.#compressor.finish();
    // Once for the whole blob: whoever commits it relies on its bytes.
    fsyncSync(this.#fd);
    const diffId = `sha256:${this.#diffHash.digest("hex")}` as DiffId;
    const digest = this.#blobHash === undefined ? diffId : (`sha256:${this.#blobHash.digest("hex")}` as Digest);
    return { diffId, digest, size: this.#size, ...(this.#stargz !== undefined && { stargz: this.#stargz.result }) };
  }

  [Symbol.dispose](): void {
    this.#compressor[Symbol.dispose]();
    freeBuffer(this.#buffer);
    if (this.#open) closeSync(this.#fd);
    this.#open = false;
  }

  async #appendLarge(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      if (this.#filled === bufferSize) await this.#flush();
      const part = bytes.subarray(at, at + bufferSize - this.#filled);
      this.#buffer.set(part, this.#filled);
      this.#filled += part.length;
      at += part.length;
    }
  }

  async #flush(): Promise<void> {
    this.#options.checkAborted();
    const bytes = this.#buffer.subarray(0, this.#filled);
    this.#diffHash.update(bytes);
    await this.#compressor.write(bytes);
    this.#filled = 0;
  }

  #write(chunk: Uint8Array): void {
    this.#blobHash?.update(chunk);
    for (let at = 0; at < chunk.length; ) at += writeSync(this.#fd, chunk, at);
    this.#size += chunk.length;
  }
}

const zeros = new Uint8Array(512);
