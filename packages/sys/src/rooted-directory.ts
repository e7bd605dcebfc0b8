import { closeSync, constants, opendirSync, openSync, readdirSync, readSync } from "node:fs";
import { fileName, readlinkAt } from "./at-calls.ts";
import { type FileStat, statOf } from "./file-stat.ts";
import type { FilePath } from "./native-call.ts";
import { O_PATH, openInRoot } from "./open-in-root.ts";
import { SystemError } from "./system-error.ts";

const { O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_NOCTTY } = constants;
const EINVAL = 22;
const E2BIG = 7;
const EFBIG = 27;

/** An open file, closed by `using`. */
export class OpenFile implements Disposable {
  readonly fd: number;
  #open = true;

  constructor(fd: number) {
    this.fd = fd;
  }

  stat(): FileStat {
    return statOf(this.fd);
  }

  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    closeSync(this.fd);
  }
}

/**
 * A directory whose paths are resolved as if it were `/`, by the kernel: no `..`, symbolic link or rename made meanwhile
 * leads out of it. Paths may begin with a slash or not. Works in every thread; nothing here waits for a FIFO or a device.
 */
export class RootedDirectory implements Disposable {
  readonly #file: OpenFile;

  private constructor(file: OpenFile) {
    this.#file = file;
  }

  /** @param path A trusted one, resolved the usual way. */
  static open(path: string): RootedDirectory {
    return new RootedDirectory(new OpenFile(openSync(path, O_RDONLY | O_DIRECTORY)));
  }

  get fd(): number {
    return this.#file.fd;
  }

  /** @param flags As of `open(2)`; with `O_CREAT`, `mode` is subject to the umask. */
  open(path: FilePath, flags: number, mode?: number): OpenFile {
    return new OpenFile(openInRoot(this.fd, path, mode === undefined ? { flags } : { flags, mode }));
  }

  openDirectory(path: FilePath): OpenFile {
    return this.open(path, O_RDONLY | O_DIRECTORY);
  }

  /** For reading. @throws {SystemError} `EINVAL` for what is no regular file, such as a FIFO. */
  openRegularFile(path: FilePath): OpenFile {
    const file = this.open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (file.stat().isFile()) return file;
    file[Symbol.dispose]();
    throw new SystemError(EINVAL, "open", path.toString());
  }

  /** A path with every symbolic link followed. */
  stat(path: FilePath): FileStat {
    using file = this.open(path, O_PATH);
    return file.stat();
  }

  /** A path whose last component is not followed. */
  lstat(path: FilePath): FileStat {
    using file = this.open(path, O_PATH | O_NOFOLLOW);
    return file.stat();
  }

  /** What a symbolic link says. */
  readlink(path: FilePath): FilePath {
    using file = this.open(path, O_PATH | O_NOFOLLOW);
    return readlinkAt({ fd: file.fd, path: "" });
  }

  /** Names in a directory, sorted by their bytes. */
  readdir(path: FilePath): FilePath[] {
    using directory = this.openDirectory(path);
    return readNames(directory.fd);
  }

  /** The whole of a regular file. @throws {SystemError} `EFBIG`, if it is larger than `maxBytes`. */
  readFile(path: FilePath, options: { readonly maxBytes: number }): Buffer {
    using file = this.openRegularFile(path);
    const pieces: Buffer[] = [];
    // The size that stat gives may change and is 0 for files of /proc, so the limit is applied to what is read.
    for (let total = 0; ; ) {
      const piece = Buffer.allocUnsafe(Math.min(1 << 16, options.maxBytes + 1 - total));
      const count = readSync(file.fd, piece, 0, piece.length, null);
      if (count === 0) return Buffer.concat(pieces);
      pieces.push(piece.subarray(0, count));
      total += count;
      if (total > options.maxBytes) throw new SystemError(EFBIG, "read", path.toString());
    }
  }

  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }
}

/** Names in an open directory without `.` and `..`, sorted by their bytes. */
export function readNames(fd: number): FilePath[] {
  const path = `/proc/self/fd/${fd}`;
  const names = readdirSync(path, "utf8");
  // As text, names are read and sorted in half the time; where that may lose or reorder something, their bytes are.
  return names.some((name) => isUnusual.test(name))
    ? sorted(readdirSync(path, { encoding: "buffer" }))
    : names.toSorted((a, b) => (a < b ? -1 : 1));
}

/** A replacement character may stand for bytes that are no UTF-8, and UTF-16 orders surrogates otherwise than UTF-8. */
const isUnusual = /[\ud800-\uffff]/;

/** The same for a directory that may be huge. @throws {SystemError} E2BIG, if it has more names than that. */
export function readNamesUpTo(fd: number, most: number): FilePath[] {
  using directory = opendirSync(`/proc/self/fd/${fd}`, { encoding: "buffer" as BufferEncoding });
  const names: Buffer[] = [];
  for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) {
    if (names.length === most) throw new SystemError(E2BIG, "getdents64", `descriptor ${fd}`);
    // With this encoding names are bytes, which the types do not know.
    names.push(entry.name as unknown as Buffer);
  }
  return sorted(names);
}

function sorted(names: readonly Buffer[]): FilePath[] {
  return names.toSorted((a, b) => Buffer.compare(a, b)).map((name) => fileName(name));
}
