import { chmod, lstat, readdir } from "node:fs/promises";
import { AT_FDCWD, utimesAt } from "@buildkit-ts/sys";

/** Sets the times of a whole tree: children first, then their directories. */
export async function setTimes(root: string, ns: bigint): Promise<void> {
  const entries = await listTree(root);
  for (const { path } of [...entries.toReversed(), { path: Buffer.from(root) }])
    utimesAt({ fd: AT_FDCWD, path }, { accessNs: ns, modificationNs: ns });
}

/** Lets everybody write to the files of a tree that nobody may execute. */
export async function addWriteModes(root: string): Promise<void> {
  for (const { path, isFile } of await listTree(root)) {
    if (!isFile) continue;
    const { mode } = await lstat(path);
    if ((mode & 0o111) === 0) await chmod(path, (mode & 0o7777) | 0o222);
  }
}

interface TreePath {
  readonly path: Buffer;
  readonly isFile: boolean;
}

/** Parents come before what is in them. */
async function listTree(root: string): Promise<TreePath[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true, encoding: "buffer" });
  return entries.map((entry) => ({
    path: Buffer.concat([Buffer.from(entry.parentPath), Buffer.from("/"), entry.name]),
    isFile: entry.isFile(),
  }));
}
