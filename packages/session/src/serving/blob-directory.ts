import { createHash, type Hash } from "node:crypto";
import { createReadStream, mkdirSync } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { BuildError } from "@buildkit-ts/errdefs";

const digestPattern = /^(sha256|sha384|sha512):([0-9a-f]{64,128})$/;

/** What is known of a blob. */
export interface StoredBlob {
  readonly digest: string;
  readonly size: number;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
}

/** A directory of blobs as OCI layouts have it: `blobs/<algorithm>/<hex>`. A blob is there whole or not at all. */
export class BlobDirectory {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  async find(digest: string): Promise<StoredBlob | undefined> {
    try {
      const found = await stat(this.#pathOf(digest));
      return found.isFile() ? { digest, size: found.size, createdAt: found.mtimeMs } : undefined;
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
      throw error;
    }
  }

  /** @throws {BuildError} `not_found` */
  async get(digest: string): Promise<StoredBlob> {
    const blob = await this.find(digest);
    if (blob === undefined) throw new BuildError("not_found", `content ${digest}: not found`);
    return blob;
  }

  /** Bytes from `offset` on, `length` of them or all. */
  read(digest: string, range: { readonly offset: number; readonly length?: number }): AsyncIterable<Buffer> {
    const { offset, length } = range;
    if (length === 0) return emptyContent();
    return createReadStream(this.#pathOf(digest), {
      start: offset,
      highWaterMark: 1 << 20,
      ...(length !== undefined && { end: offset + length - 1 }),
    });
  }

  async *list(): AsyncGenerator<StoredBlob, void, undefined> {
    for (const algorithm of await names(join(this.path, "blobs"))) {
      for (const hex of await names(join(this.path, "blobs", algorithm))) {
        const digest = `${algorithm}:${hex}`;
        const blob = digestPattern.test(digest) ? await this.find(digest) : undefined;
        if (blob !== undefined) yield blob;
      }
    }
  }

  async delete(digest: string): Promise<void> {
    await this.get(digest);
    await rm(this.#pathOf(digest));
  }

  /** Begins to write a blob under a name of the writer's choice; what an earlier writer left is dropped. */
  async ingest(ref: string): Promise<BlobIngest> {
    const directory = join(this.path, "ingest");
    await mkdir(directory, { recursive: true });
    const path = join(directory, createHash("sha256").update(ref).digest("hex"));
    return new BlobIngest({ path, file: await open(path, "w", 0o644), pathOf: (digest) => this.#pathOf(digest) });
  }

  async abort(ref: string): Promise<void> {
    await rm(join(this.path, "ingest", createHash("sha256").update(ref).digest("hex")), { force: true });
  }

  #pathOf(digest: string): string {
    const [, algorithm, hex] = digestPattern.exec(digest) ?? [];
    if (algorithm === undefined || hex === undefined) {
      throw new BuildError("invalid_argument", `invalid digest ${JSON.stringify(digest)}`);
    }
    return join(this.path, "blobs", algorithm, hex);
  }
}

/** One blob that is being written. Disposal drops what was not committed. */
export class BlobIngest implements AsyncDisposable {
  readonly startedAt: number = Date.now();
  updatedAt: number = this.startedAt;
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #pathOf: (digest: string) => string;
  #hash: Hash = createHash("sha256");
  #offset = 0;
  #isOpen = true;

  constructor(options: {
    readonly path: string;
    readonly file: FileHandle;
    readonly pathOf: (digest: string) => string;
  }) {
    this.#path = options.path;
    this.#file = options.file;
    this.#pathOf = options.pathOf;
  }

  get offset(): number {
    return this.#offset;
  }

  /** Digest of what is there. */
  get digest(): string {
    return `sha256:${this.#hash.copy().digest("hex")}`;
  }

  async write(data: Uint8Array): Promise<void> {
    await this.#file.write(data, 0, data.length, this.#offset);
    this.#hash.update(data);
    this.#offset += data.length;
    this.updatedAt = Date.now();
  }

  /** Drops everything written so far. */
  async restart(): Promise<void> {
    await this.#file.truncate(0);
    this.#hash = createHash("sha256");
    this.#offset = 0;
  }

  /** Makes the blob visible. @throws {BuildError} `failed_precondition`, if it is not what was expected. */
  async commit(expected: { readonly digest: string; readonly size: number }): Promise<string> {
    if (expected.size > 0 && expected.size !== this.#offset) {
      throw new BuildError("failed_precondition", `unexpected commit size ${this.#offset}, expected ${expected.size}`);
    }
    const { digest } = this;
    if (expected.digest !== "" && expected.digest !== digest) {
      throw new BuildError("failed_precondition", `unexpected commit digest ${digest}, expected ${expected.digest}`);
    }
    await this.#file.sync();
    await this.#close();
    const target = this.#pathOf(digest);
    mkdirSync(join(target, ".."), { recursive: true });
    await rename(this.#path, target);
    return digest;
  }

  async #close(): Promise<void> {
    this.#isOpen = false;
    await this.#file.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isOpen) return;
    await this.#close();
    await rm(this.#path, { force: true });
  }
}

async function names(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR")) return [];
    throw error;
  }
}

async function* emptyContent(): AsyncGenerator<Buffer, void, undefined> {}
