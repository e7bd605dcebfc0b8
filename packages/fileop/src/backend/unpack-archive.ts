import { spawn } from "node:child_process";
import { createReadStream, readSync } from "node:fs";
import { text } from "node:stream/consumers";
import {
  decompress,
  detectCompression,
  detectionLength,
  UnpackBudget,
  type UnpackLimits,
} from "@buildkit-ts/compression";
import { BuildError } from "@buildkit-ts/errdefs";
import { type AbortCheck, hasErrno, type OpenFile } from "@buildkit-ts/sys";
import { type DecodedTarEntry, decodeTar } from "@buildkit-ts/tar";
import type { CopyAction } from "../file-actions.ts";
import { ArchiveExtractor } from "./archive-extractor.ts";
import type { CopyRoots } from "./copy-action.ts";
import { makeDirectories } from "./make-directories.ts";
import { cleanActionPath, encodeName, TreeRoot } from "./tree-root.ts";

/**
 * Unpacks a file into the directory that a copy names, if it is an archive: a tar, also one compressed by gzip, zstd, bzip2
 * or xz (the last two need the program of that name).
 *
 * @returns False for everything else: it is to be copied.
 */
export async function unpackArchive(
  roots: CopyRoots,
  { action, source }: { readonly action: CopyAction; readonly source: string },
  options: { readonly checkAborted: AbortCheck; readonly limits: UnpackLimits },
): Promise<boolean> {
  const { checkAborted } = options;
  const path = roots.source.resolve(source, { followLast: true });
  if (roots.source.findLstat(path)?.isFile() !== true) return false;
  using file = roots.source.directory.openRegularFile(encodeName(path));
  const budget = new UnpackBudget(options.limits, file.stat().sizeBytes);
  const bytes = openArchive(file, (count) => {
    checkAborted();
    budget.addBytes(count);
  });
  const entries = decodeTar(bytes, { signal: new AbortController().signal });
  try {
    const first = await findFirst(entries);
    if (first === undefined) return false;
    using target = openTarget(roots.target, action);
    const extractor = new ArchiveExtractor(target, {
      owner: action.owner,
      checkAborted,
      onHole: (length) => budget.addBytes(length),
    });
    budget.addEntry();
    await extractor.extract(first);
    for await (const entry of entries) {
      budget.addEntry();
      await extractor.extract(entry);
    }
    extractor.finish();
    return true;
  } finally {
    await entries.return();
  }
}

/** What cannot be read as an archive is none. */
async function findFirst(entries: AsyncGenerator<DecodedTarEntry, void>): Promise<DecodedTarEntry | undefined> {
  try {
    const first = await entries.next();
    return first.done === true ? undefined : first.value;
  } catch (error) {
    if (error instanceof BuildError && (error.code === "invalid_argument" || error.code === "data_loss"))
      return undefined;
    throw error;
  }
}

/** Symbolic links of an archive, and of what is there, lead from this directory as if it were the root. */
function openTarget(root: TreeRoot, action: CopyAction): TreeRoot {
  const path = root.resolve(cleanActionPath(action.destination), { followLast: true });
  makeDirectories(root, path, { mode: 0o755, owner: action.owner, timestampNs: action.timestampNs });
  using directory = root.directory.openDirectory(encodeName(path));
  return new TreeRoot(`/proc/self/fd/${directory.fd}`);
}

async function* openArchive(file: OpenFile, onBytes: (count: number) => void): AsyncGenerator<Uint8Array, void> {
  const head = Buffer.alloc(detectionLength);
  const kind = detectCompression(head.subarray(0, readSync(file.fd, head, 0, head.length, 0)));
  const bytes =
    kind === "bzip2" || kind === "xz"
      ? runDecompressor(kind, file.fd)
      : decompress(readFile(file.fd), { signal: new AbortController().signal });
  for await (const chunk of bytes) {
    onBytes(chunk.length);
    yield chunk;
  }
}

function readFile(fd: number): AsyncIterable<Uint8Array> {
  return createReadStream("", { fd, autoClose: false, start: 0, highWaterMark: 1 << 18 });
}

async function* runDecompressor(program: "bzip2" | "xz", fd: number): AsyncGenerator<Uint8Array, void> {
  // The head was read at a position of its own, so the program begins at the beginning.
  // An archive says itself how much memory it wants, up to gigabytes; the strongest setting of xz takes 65 MB.
  const env = { ...process.env, XZ_OPT: "--memlimit-decompress=256MiB" };
  const child = spawn(program, ["-d", "-c"], { stdio: [fd, "pipe", "pipe"], env });
  const closed = new Promise<number | Error>((resolve) => {
    child.once("error", resolve);
    child.once("close", (code) => resolve(code ?? -1));
  });
  const { stdout, stderr } = child;
  if (stdout === null || stderr === null) throw new BuildError("internal", `Cannot run "${program}": it has no output`);
  const complaint = text(stderr);
  try {
    for await (const chunk of stdout) yield chunk as Uint8Array;
    const result = await closed;
    if (result instanceof Error) throw result;
    if (result !== 0) throw failureOf(program, (await complaint).slice(0, 500).trim());
  } catch (error) {
    if (!hasErrno(error, "ENOENT")) throw error;
    throw new BuildError("unimplemented", `Cannot unpack "${program}" archive: there is no program ${program}`, {
      cause: error,
      hint: `Install ${program} where the daemon runs`,
    });
  } finally {
    child.kill("SIGKILL");
  }
}

function failureOf(program: string, complaint: string): BuildError {
  const isTooLarge = /memory usage limit/i.test(complaint);
  const code = isTooLarge ? "resource_exhausted" : "invalid_argument";
  return new BuildError(code, `Cannot decompress "${program}" stream: ${complaint}`);
}
