import type { ImmutableRef } from "@buildkit-ts/cache";
import { BuildError } from "@buildkit-ts/errdefs";
import { hasErrno, RootedDirectory } from "@buildkit-ts/sys";
import type { ExportContext } from "../exporter.ts";
import { type OpenTree, openTree } from "../files/open-tree.ts";

/** BuildKit's limit for one statement. */
const maxBytes = 40 << 20;
/** Far more than any scanner writes. */
const maxEntries = 10_000;
const maxTotalBytes = 256 << 20;

/** The files of a tree that holds statements. A step wrote them: paths stay inside, and only regular files are read. */
export class AttestationFiles implements AsyncDisposable {
  readonly #tree: OpenTree;
  readonly #root: RootedDirectory;
  #totalBytes = 0;

  private constructor(tree: OpenTree) {
    this.#tree = tree;
    this.#root = RootedDirectory.open(tree.directory);
  }

  static async open(ref: ImmutableRef | undefined, context: ExportContext): Promise<AttestationFiles> {
    await using stack = new AsyncDisposableStack();
    const tree = stack.use(await openTree({ id: "", ref, epochSeconds: undefined }, context));
    const files = new AttestationFiles(tree);
    stack.move();
    return files;
  }

  /** @throws {BuildError} `invalid_argument`, for what is no regular file, or too large, alone or with all others. */
  read(path: string): Buffer {
    const bytes = this.#read(path);
    this.#totalBytes += bytes.length;
    if (this.#totalBytes > maxTotalBytes)
      throw new BuildError("invalid_argument", `attestation bundle exceeds ${maxTotalBytes} bytes`);
    return bytes;
  }

  #read(path: string): Buffer {
    try {
      return this.#root.readFile(path, { maxBytes });
    } catch (cause) {
      throw unreadable(path, cause);
    }
  }

  /** Names in a directory, sorted. */
  list(path: string): string[] {
    const names = this.#names(path);
    if (names.length > maxEntries)
      throw new BuildError("invalid_argument", `attestation bundle has more than ${maxEntries} entries`);
    return names;
  }

  #names(path: string): string[] {
    try {
      return this.#root.readdir(path === "" ? "." : path).map(String);
    } catch (cause) {
      throw unreadable(path, cause);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#root[Symbol.dispose]();
    await this.#tree[Symbol.asyncDispose]();
  }
}

function unreadable(path: string, cause: unknown): BuildError {
  const shown = path.slice(0, 200);
  if (hasErrno(cause, "EINVAL"))
    return new BuildError("invalid_argument", `cannot read in-toto attestation: ${shown} is not a regular file`, {
      cause,
    });
  if (hasErrno(cause, "EFBIG"))
    return new BuildError("invalid_argument", `cannot read in-toto attestation: ${shown} exceeds ${maxBytes} bytes`, {
      cause,
    });
  const { message } = BuildError.from(cause);
  return new BuildError("invalid_argument", `cannot read in-toto attestation: ${message}`, { cause });
}
