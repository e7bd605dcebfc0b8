import { readSync } from "node:fs";
import { posix } from "node:path";
import { create } from "@bufbuild/protobuf";
import { statpb } from "@buildkit-ts/api";
import type { ImmutableRef } from "@buildkit-ts/cache";
import { BuildError } from "@buildkit-ts/errdefs";
import { mountTemporarily } from "@buildkit-ts/mount";
import { PatternMatcher } from "@buildkit-ts/patterns";
import { noProgress } from "@buildkit-ts/progress";
import {
  type FileStat,
  RootedDirectory,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFSOCK,
  SystemError,
} from "@buildkit-ts/sys";
import type { StepContainer } from "@buildkit-ts/worker";
import type { BridgeRef } from "../bridge/bridge-ref.ts";

/** A frontend gets a file in one message, which may hold 16 MiB. */
const maxFileBytes = 15 << 20;

interface RefFileOptions {
  readonly signal: AbortSignal;
}

/** Runs a look into some tree, with its root opened; undefined for a tree that is empty because there is none. */
export type TreeReader = <T>(
  look: (root: RootedDirectory) => T,
  options: { readonly signal: AbortSignal },
) => Promise<{ readonly value: T } | undefined>;

/** Looks into what a build gave. */
export function refReader(ref: BridgeRef): TreeReader {
  return async (look, options) => {
    // What is read now must be here. Of a tree that was never mounted, it shows only then whether it can be had.
    if ((await ref.tree(options))?.isLazy === true) await ref.extracted(options);
    const tree = await ref.tree(options);
    return tree === undefined
      ? undefined
      : { value: await readTree(tree, { ...options, session: ref.sessions() }, look) };
  };
}

/** Looks into one of a container's mounts, by its index in the request for the container. */
export function containerReader(container: StepContainer, mount: number): TreeReader {
  return async (look, options) => {
    const inMount = (path: string): ReturnType<typeof look> => {
      using root = RootedDirectory.open(path);
      return look(root);
    };
    return { value: await container.read(mount, inMount, options) };
  };
}

/** Bytes of a regular file in a tree; symbolic links stay inside it. */
export async function readFile(
  tree: TreeReader,
  path: string,
  options: RefFileOptions & { readonly offset?: number; readonly length?: number },
): Promise<Uint8Array> {
  return await inTree(tree, options, (root) => {
    using file = openFile(root, path);
    const size = file.stat().sizeBytes;
    const offset = options.offset ?? 0;
    const wanted = Math.max(0, Math.min(options.length ?? size, size - offset));
    if (wanted > maxFileBytes) {
      throw new BuildError(
        "resource_exhausted",
        `Cannot read file "${path}": ${wanted} bytes do not fit into one message`,
        {
          hint: "read it in ranges",
        },
      );
    }
    const data = Buffer.alloc(wanted);
    let read = 0;
    while (read < wanted) {
      const count = readSync(file.fd, data, read, wanted - read, offset + read);
      if (count === 0) break;
      read += count;
    }
    return data.subarray(0, read);
  });
}

function openFile(root: RootedDirectory, path: string): ReturnType<RootedDirectory["openRegularFile"]> {
  try {
    return root.openRegularFile(path);
  } catch (error) {
    if (error instanceof SystemError && error.code === "EINVAL") {
      throw new BuildError("invalid_argument", `${path} is not a regular file`, { cause: error });
    }
    throw systemFailure("open", path, error);
  }
}

/** The entries of one directory, sorted; with a pattern only those that match it. */
export async function readDirectory(
  tree: TreeReader,
  path: string,
  options: RefFileOptions & { readonly includePattern: string },
): Promise<statpb.Stat[]> {
  const list = (root: RootedDirectory): statpb.Stat[] => {
    try {
      const names = root.readdir(path === "" ? "/" : path).map(String);
      const matcher = options.includePattern === "" ? undefined : new PatternMatcher([options.includePattern]);
      const matching = names.filter((name) => matcher === undefined || matcher.matches(name));
      return matching.map((name) => statMessage(root, posix.join(path === "" ? "/" : path, name), { name }));
    } catch (error) {
      throw systemFailure("open", path, error);
    }
  };
  // The result of what changes nothing is a tree as well: an empty one.
  if (/^[./]*$/.test(path)) return (await tree(list, options))?.value ?? [];
  return await inTree(tree, options, list);
}

/** What is known of one path; its last component is not followed. */
export async function statFile(tree: TreeReader, path: string, options: RefFileOptions): Promise<statpb.Stat> {
  return await inTree(tree, options, (root) => {
    try {
      return statMessage(root, path, { name: posix.basename(path) });
    } catch (error) {
      throw systemFailure("lstat", path, error);
    }
  });
}

/** The same with links followed, but for one that leads out of the tree: what that means is for the client to say. */
export async function statFollowed(tree: TreeReader, path: string, options: RefFileOptions): Promise<statpb.Stat> {
  return await inTree(tree, options, (root) => {
    try {
      const isForeign = root.lstat(path).isSymbolicLink() && String(root.readlink(path)).startsWith("/");
      return statMessage(root, path, { name: posix.basename(path), follow: !isForeign });
    } catch (error) {
      throw systemFailure("stat", path, error);
    }
  });
}

async function inTree<T>(tree: TreeReader, options: RefFileOptions, look: (root: RootedDirectory) => T): Promise<T> {
  const found = await tree(look, options);
  if (found === undefined)
    throw new BuildError("not_found", "Cannot read from an empty result: no such file or directory");
  return found.value;
}

async function readTree<T>(
  tree: ImmutableRef,
  options: RefFileOptions & { readonly session: unknown },
  work: (root: RootedDirectory) => T,
): Promise<T> {
  const { signal, session } = options;
  await using held = await tree.mount({ signal, progress: noProgress, session });
  await using mounted = await mountTemporarily(held.mounts, { ...options, onlyReads: true });
  using root = RootedDirectory.open(mounted.path);
  return work(root);
}

function systemFailure(call: string, path: string, error: unknown): unknown {
  if (!(error instanceof SystemError)) return error;
  if (error.code === "ENOENT")
    return new BuildError("not_found", `${call} ${path}: no such file or directory`, { cause: error });
  if (error.code === "ENOTDIR")
    return new BuildError("invalid_argument", `${call} ${path}: not a directory`, { cause: error });
  const { code, hint } = BuildError.from(error);
  return new BuildError(code, `${call} ${path}: ${error.message}`, {
    cause: error,
    ...(hint !== undefined && { hint }),
  });
}

function statMessage(
  root: RootedDirectory,
  path: string,
  { name, follow = false }: { readonly name: string; readonly follow?: boolean },
): statpb.Stat {
  const stat = follow ? root.stat(path) : root.lstat(path);
  return create(statpb.StatSchema, {
    path: name,
    mode: goFileMode(stat),
    uid: stat.uid,
    gid: stat.gid,
    // A symbolic link's size is its target's length, as `lstat` says it.
    size: BigInt(stat.isDirectory() ? 0 : stat.sizeBytes),
    modTime: stat.modificationNs,
    linkname: stat.isSymbolicLink() ? String(root.readlink(path)) : "",
    devmajor: BigInt(stat.specialDevice.major),
    devminor: BigInt(stat.specialDevice.minor),
  });
}

/** File type bits of Go's `os.FileMode`, which fsutil's `Stat` carries. */
function goFileMode(stat: FileStat): number {
  const types: Readonly<Record<number, number>> = {
    [S_IFDIR]: 2 ** 31,
    [S_IFLNK]: 2 ** 27,
    [S_IFBLK]: 2 ** 26,
    [S_IFCHR]: 2 ** 26 + 2 ** 21,
    [S_IFIFO]: 2 ** 25,
    [S_IFSOCK]: 2 ** 24,
  };
  const special =
    (stat.mode & 0o4000 ? 2 ** 23 : 0) + (stat.mode & 0o2000 ? 2 ** 22 : 0) + (stat.mode & 0o1000 ? 2 ** 20 : 0);
  return (types[stat.mode & S_IFMT] ?? 0) + special + (stat.mode & 0o777);
}
