import { mkdtemp, rmdir, stat, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MS_BIND, MS_RDONLY, MS_REC } from "@buildkit-ts/sys";
import type { Mount } from "./mount.ts";
import { mountAll } from "./mount-all.ts";
import { parseMountOptions } from "./mount-options.ts";
import { unmountAll } from "./unmount.ts";

/** A place where mounts can be seen, until it is disposed. */
export interface TemporaryMount extends AsyncDisposable {
  readonly path: string;
}

export interface MountTemporarilyOptions {
  readonly signal: AbortSignal;
  /** Where the mount point is made; the system's directory for temporary files unless given. It must exist. */
  readonly parent?: string;
  /** The caller promises not to write: then a read-only bind mount of a directory needs no mount either. */
  readonly onlyReads?: boolean;
}

/**
 * Mounts a list at a new directory. A single bind mount is not mounted at all where nothing would differ: then `path` is its
 * source. An empty list is an empty directory.
 */
export async function mountTemporarily(
  mounts: readonly Mount[],
  options: MountTemporarilyOptions,
): Promise<TemporaryMount> {
  options.signal.throwIfAborted();
  const [first] = mounts;
  if (first !== undefined && mounts.length === 1 && isPlainBind(first, options.onlyReads === true)) {
    return { path: first.source, [Symbol.asyncDispose]: async () => undefined };
  }
  const directory = await mkdtemp(join(options.parent ?? tmpdir(), "buildkit-mount-"));
  const isFile = first?.type === "bind" && !(await stat(first.source)).isDirectory();
  const path = isFile ? join(directory, "file") : directory;
  const release = async (): Promise<void> => {
    await unmountAll(path);
    if (isFile) await unlink(path);
    // Never recursively: if something were still mounted, its content would be deleted.
    await rmdir(directory);
  };
  try {
    if (isFile) await writeFile(path, "", { flag: "wx" });
    await mountAll(mounts, path, { signal: options.signal });
  } catch (error) {
    await release();
    throw error;
  }
  let released: Promise<void> | undefined;
  return { path, [Symbol.asyncDispose]: async () => await (released ??= release()) };
}

/** Runs a function where a list of mounts can be seen. */
export async function withMounts<T>(
  mounts: readonly Mount[],
  options: MountTemporarilyOptions,
  use: (path: string) => Promise<T>,
): Promise<T> {
  await using mounted = await mountTemporarily(mounts, options);
  return await use(mounted.path);
}

/** Whether a bind mount shows nothing but its source, with the same rights. */
function isPlainBind(mount: Mount, onlyReads: boolean): boolean {
  if (mount.type !== "bind" || (mount.target ?? "/") !== "/") return false;
  const { flags, data } = parseMountOptions(mount.options);
  const harmless = MS_BIND | MS_REC | (onlyReads ? MS_RDONLY : 0);
  return data.length === 0 && (flags & ~harmless) === 0;
}
