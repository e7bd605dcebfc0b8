import { type BigIntStats, close, closeSync, constants, fstatSync, openSync, read, readSync } from "node:fs";
import { pathBytes } from "./path-text.ts";
import type { ListedFile } from "./send-entry.ts";

/** Files up to this size are read at once, which is cheaper than a trip through the thread pool. */
const smallFileBytes = 64 << 10;

/** A file on disk that is read as long as it is what it was when it was listed. */
export class OpenListedFile {
  /** As it was when it was opened. Files of /proc have none before they are read. */
  readonly sizeBytes: number;
  readonly #fd: number;
  readonly #listed: ListedFile | undefined;
  readonly #chunkBytes: number;

  private constructor(fd: number, sizeBytes: number, options: { listed: ListedFile | undefined; chunkBytes: number }) {
    this.#fd = fd;
    this.sizeBytes = sizeBytes;
    this.#listed = options.listed;
    this.#chunkBytes = options.chunkBytes;
  }

  /** @returns undefined if the file is another one, or none. */
  static open(
    path: string,
    options: { readonly listed: ListedFile | undefined; readonly chunkBytes: number },
  ): OpenListedFile | undefined {
    const fd = openForReading(path);
    if (fd === undefined) return undefined;
    try {
      const stat = fstatSync(fd, { bigint: true });
      if (stat.isFile() && isAsListed(stat, options.listed)) return new OpenListedFile(fd, Number(stat.size), options);
      closeSync(fd);
      return undefined;
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /** The beginning of a small file, mostly all of it; undefined for a large one. */
  readSmall(): { readonly bytes: Buffer; readonly isWhole: boolean } | undefined {
    if (this.sizeBytes > smallFileBytes) return undefined;
    const buffer = Buffer.allocUnsafe(smallFileBytes);
    const length = readSync(this.#fd, buffer, 0, buffer.length, null);
    return { bytes: buffer.subarray(0, length), isWhole: length < smallFileBytes };
  }

  /**
   * Begins to read the next chunk, which has memory of its own: that is freed when it is sent, as a large file would leave
   * garbage of its size. Whoever waits is told of a failure; while nobody does yet, it must not end the process.
   */
  readAhead(): Promise<Buffer<ArrayBuffer>> {
    const reading = readChunk(this.#fd, this.#chunkBytes);
    reading.catch(() => undefined);
    return reading;
  }

  /** Whether the file still is what was listed, after that many bytes were read. */
  isComplete(bytesRead: number): boolean {
    const hasAll = bytesRead === this.sizeBytes || this.sizeBytes === 0;
    return hasAll && isAsListed(fstatSync(this.#fd, { bigint: true }), this.#listed);
  }

  /** @param now Whether to wait for it. */
  close(now: boolean): void {
    if (now) closeSync(this.#fd);
    else close(this.#fd, () => undefined);
  }
}

function isAsListed(stat: BigIntStats, listed: ListedFile | undefined): boolean {
  if (listed === undefined) return true;
  return Number(stat.size) === listed.sizeBytes && stat.mtimeNs === listed.modificationNs;
}

function openForReading(path: string): number | undefined {
  try {
    // Not blocking: a FIFO that took the file's place would make the open wait for ever.
    return openSync(pathBytes(path), constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  } catch (error) {
    if (error instanceof Error && "code" in error && ["ENOENT", "ELOOP", "ENXIO"].includes(String(error.code))) {
      return undefined;
    }
    throw error;
  }
}

async function readChunk(fd: number, chunkBytes: number): Promise<Buffer<ArrayBuffer>> {
  const buffer = Buffer.allocUnsafeSlow(chunkBytes);
  return await new Promise((resolve, reject) => {
    read(fd, buffer, 0, chunkBytes, null, (error, length) => {
      if (error === null) resolve(buffer.subarray(0, length));
      else reject(error);
    });
  });
}
