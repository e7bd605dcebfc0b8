import { randomUUID } from "node:crypto";
import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { ErrorReporter } from "@buildkit-ts/async";
import { BuildError } from "@buildkit-ts/errdefs";
import { type Descriptor, type Digest, isDigest } from "@buildkit-ts/oci";
import { blobFileName, missingBlob } from "../blob-hash.ts";
import type { BlobInfo, ContentWriter, FileContentStore, OpenWriterOptions } from "../content-store.ts";
import { IntactBlobs } from "./intact-blobs.ts";
import { type CommitFile, LocalWriter } from "./local-writer.ts";
import { ThreadedWriter } from "./threaded-writer.ts";

const readBytes = 256 << 10;

/**
 * Blobs as files of one directory: `blobs/sha256/<hex>`; what is being written lies in `ingest/`.
 *
 * One process at a time uses a directory.
 */
export class LocalContentStore implements FileContentStore {
  readonly #blobs: string;
  readonly #ingest: string;
  readonly #intact = new IntactBlobs();
  readonly #reporter: ErrorReporter | undefined;

  private constructor(directory: string, reporter: ErrorReporter | undefined) {
    this.#reporter = reporter;
    this.#blobs = join(directory, "blobs", "sha256");
    this.#ingest = join(directory, "ingest");
  }

  /**
   * Opens `<root>/content`, creating it, and removes what earlier processes left half-written.
   *
   * @param options.reporter Is told of damaged blobs.
   */
  static async open(
    root: string,
    { reporter }: { readonly reporter?: ErrorReporter } = {},
  ): Promise<LocalContentStore> {
    const store = new LocalContentStore(join(root, "content"), reporter);
    await rm(store.#ingest, { recursive: true, force: true });
    await mkdir(store.#ingest, { recursive: true, mode: 0o700 });
    await mkdir(store.#blobs, { recursive: true, mode: 0o700 });
    return store;
  }

  pathOf(digest: Digest): string {
    return join(this.#blobs, blobFileName(digest));
  }

  createIngestPath(): string {
    return join(this.#ingest, randomUUID());
  }

  async find(digest: Digest): Promise<BlobInfo | undefined> {
    if (!digest.startsWith("sha256:")) return undefined;
    try {
      const { size, mtimeMs, birthtimeMs } = await stat(this.pathOf(digest));
      return { digest, size, createdAt: Math.floor(Math.min(mtimeMs, birthtimeMs || mtimeMs)) };
    } catch (error) {
      if (isErrno(error, "ENOENT")) return undefined;
      throw error;
    }
  }

  async findIntact(digest: Digest): Promise<BlobInfo | undefined> {
    if (!digest.startsWith("sha256:")) return undefined;
    const path = this.pathOf(digest);
    try {
      const file = await stat(path, { bigint: true });
      if (!(await this.#intact.has(digest, path, file))) {
        await rm(path, { force: true });
        const error = new BuildError("data_loss", `Cannot use blob "${digest}": its bytes are damaged`, {
          hint: "It was removed, and is fetched or made again; check the disk, or who changes files of the daemon",
        });
        this.#reporter?.report(error, "look for a blob");
        return undefined;
      }
      return await this.find(digest);
    } catch (error) {
      if (isErrno(error, "ENOENT")) return undefined;
      throw error;
    }
  }

  async open(
    descriptor: Descriptor,
    options: { readonly signal: AbortSignal; readonly offset?: number },
  ): Promise<AsyncIterable<Uint8Array>> {
    const { signal, offset = 0 } = options;
    signal.throwIfAborted();
    const path = this.pathOf(descriptor.digest);
    try {
      // Tells a missing blob now, and opens the file only when somebody reads: an iterable that is never iterated
      // must not keep a descriptor open.
      await stat(path);
    } catch (error) {
      throw isErrno(error, "ENOENT") ? missingBlob(descriptor.digest) : error;
    }
    return readFrom(path, { signal, offset, digest: descriptor.digest });
  }

  async openWriter({ signal, takesChunks = false }: OpenWriterOptions): Promise<ContentWriter> {
    signal.throwIfAborted();
    const commit: CommitFile = async (path, blob) => await this.#moveIn(path, blob);
    const path = this.createIngestPath();
    return takesChunks
      ? new ThreadedWriter(path, { signal, commit })
      : await LocalWriter.open(path, { signal, commit });
  }

  async adopt(path: string, blob: { readonly digest: Digest; readonly size: number }): Promise<BlobInfo> {
    if (dirname(path) !== this.#ingest)
      throw new BuildError("invalid_argument", `Cannot adopt file "${path}": not an ingest path of this store`);
    const file = await open(path, "r+");
    try {
      const { size } = await file.stat();
      if (size !== blob.size)
        throw new BuildError("data_loss", `Cannot commit blob "${blob.digest}": ${size} bytes instead of ${blob.size}`);
      await file.datasync();
    } finally {
      await file.close();
    }
    return await this.#moveIn(path, blob);
  }

  async #moveIn(path: string, blob: { readonly digest: Digest; readonly size: number }): Promise<BlobInfo> {
    // Renaming over a blob that is there replaces it by the same bytes; a reader keeps the file it has open.
    const place = this.pathOf(blob.digest);
    await rename(path, place);
    await this.#intact.note(blob.digest, place);
    return { digest: blob.digest, size: blob.size, createdAt: Date.now() };
  }

  async delete(digest: Digest): Promise<void> {
    if (digest.startsWith("sha256:")) await rm(this.pathOf(digest), { force: true });
  }

  async *walk(): AsyncIterable<BlobInfo> {
    for (const name of await readdir(this.#blobs)) {
      const digest = `sha256:${name}`;
      const info = isDigest(digest) ? await this.find(digest) : undefined;
      if (info !== undefined) yield info;
    }
  }
}

async function* readFrom(
  path: string,
  options: { readonly signal: AbortSignal; readonly offset: number; readonly digest: Digest },
): AsyncGenerator<Uint8Array> {
  const { signal, digest } = options;
  let position = options.offset;
  const file = await openBlob(path, digest);
  try {
    for (;;) {
      signal.throwIfAborted();
      // A fresh buffer each time: the receiver may keep it.
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafeSlow(readBytes), 0, readBytes, position);
      if (bytesRead === 0) return;
      position += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

async function openBlob(path: string, digest: Digest): ReturnType<typeof open> {
  try {
    return await open(path, "r");
  } catch (error) {
    throw isErrno(error, "ENOENT") ? missingBlob(digest) : error;
  }
}

function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
