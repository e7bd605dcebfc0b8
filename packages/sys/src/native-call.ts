import { loadKoffi, type NativeFunction } from "./load-koffi.ts";
import { SystemError } from "./system-error.ts";

/**
 * A path or name as the kernel takes it: any bytes but NUL. Names that are not UTF-8 exist in real trees, so what is
 * read from a directory may be a `Buffer`.
 */
export type FilePath = string | Buffer;

const EINVAL = 22;
const EINTR = 4;

/** A function of the C library, found at its first use. Results of -1 are thrown as {@linkcode SystemError}. */
export class NativeCall {
  readonly name: string;
  readonly #signature: string;
  #function: NativeFunction | undefined;

  /** @param signature In C. System calls without a wrapper are `long syscall(long nr, …)`. */
  constructor(name: string, signature: string) {
    this.name = name;
    this.#signature = signature;
  }

  call(path: FilePath | undefined, ...args: readonly unknown[]): number {
    const result = this.tryCall(...args);
    if (result >= 0) return result;
    throw this.failure(path, -result);
  }

  /** The result, or the errno below 0: where failures are expected and many, since a thrown error costs some 10 µs. */
  tryCall(...args: readonly unknown[]): number {
    const native = this.#native();
    for (;;) {
      const result = native(...args) as number;
      if (result !== -1) return result;
      const errno = loadKoffi().errno();
      if (errno !== EINTR) return -errno;
    }
  }

  failure(path: FilePath | undefined, errno: number): SystemError {
    return new SystemError(errno, this.name, describePath(path));
  }

  /** On a thread of the pool, for calls that may take long. It cannot be interrupted. */
  async callAsync(path: FilePath | undefined, ...args: readonly unknown[]): Promise<number> {
    const native = this.#native();
    return await new Promise((resolve, reject) => {
      native.async(...args, (thrown: Error | null, result: number) => {
        // The library restores the thread's errno for the time of this callback only.
        const errno = loadKoffi().errno();
        if (thrown !== null) reject(thrown);
        else if (result !== -1) resolve(result);
        else reject(new SystemError(errno, this.name, describePath(path)));
      });
    });
  }

  #native(): NativeFunction {
    this.#function ??= loadKoffi().load(null).func(this.#signature);
    return this.#function;
  }
}

/** A path as an argument. @throws {SystemError} `EINVAL` for one with a NUL, where the kernel would see less than we checked. */
export function pathArgument(path: FilePath): FilePath {
  if (typeof path === "string") {
    if (path.includes("\0")) throw new SystemError(EINVAL, "path", path);
    return path;
  }
  if (path.includes(0)) throw new SystemError(EINVAL, "path", describePath(path));
  const terminated = Buffer.allocUnsafe(path.length + 1);
  path.copy(terminated);
  terminated[path.length] = 0;
  return terminated;
}

function describePath(path: FilePath | undefined): string | undefined {
  return typeof path === "object" ? path.toString("utf8") : path;
}
