import { type FileHandle, open, rm } from "node:fs/promises";
import { BuildError } from "@buildkit-ts/errdefs";
import type { Digest } from "@buildkit-ts/oci";
import { BlobHash, type WrittenBlob } from "../blob-hash.ts";
import type { BlobInfo, ContentWriter } from "../content-store.ts";

/** Moves the finished file to where its digest says. */
export type CommitFile = (path: string, blob: WrittenBlob) => Promise<BlobInfo>;

/** Writes a blob to a file, hashing it on the way. */
export class LocalWriter implements ContentWriter {
  readonly offset = 0;
  readonly #path: string;
  readonly #signal: AbortSignal;
  readonly #commit: CommitFile;
  readonly #hash = new BlobHash();
  #file: FileHandle | undefined;
  #committed = false;

  private constructor(path: string, file: FileHandle, options: { signal: AbortSignal; commit: CommitFile }) {
    this.#path = path;
    this.#file = file;
    this.#signal = options.signal;
    this.#commit = options.commit;
  }

  static async open(path: string, options: { signal: AbortSignal; commit: CommitFile }): Promise<LocalWriter> {
    return new LocalWriter(path, await open(path, "wx", 0o600), options);
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.#signal.throwIfAborted();
    const file = this.#openFile();
    // The disk and the hash work at the same time; the chunk is the caller's again only when both are done.
    const hashing = this.#hash.update(chunk);
    let written = 0;
    while (written < chunk.byteLength) {
      const { bytesWritten } = await file.write(chunk, written);
      written += bytesWritten;
    }
    await hashing;
  }

  async commit(expected: { readonly digest?: Digest; readonly size?: number }): Promise<BlobInfo> {
    this.#signal.throwIfAborted();
    const file = this.#openFile();
    const blob = this.#hash.verify(expected);
    // Once, before the blob has its name: rows and manifests that name it may survive a power failure.
    await file.datasync();
    await this.#close();
    const info = await this.#commit(this.#path, blob);
    this.#committed = true;
    return info;
  }

  #openFile(): FileHandle {
    if (this.#file === undefined)
      throw new BuildError("failed_precondition", `Cannot write blob "${this.#path}": its writer was closed`);
    return this.#file;
  }

  async #close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
    if (!this.#committed) await rm(this.#path, { force: true });
  }
}
