import { type Dirent, readdirSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { AT_FDCWD, type FileStat, findXattr, listXattrs, lstatAt, readlinkAt } from "@buildkit-ts/sys";
import { compareBytes, decodeBytes, encodeBytes } from "@buildkit-ts/tar";

/** One entry of a tree. */
export interface TreeEntry {
  /** Relative, with slashes; bytes that are no UTF-8 are escaped as `decodeBytes` does. */
  readonly path: string;
  /** Where it can be opened. */
  readonly source: Buffer;
  readonly stat: FileStat;
  /** Target of a symbolic link. */
  readonly target: string | undefined;
  /** The earlier entry that this is a further name of. */
  readonly hardLinkOf: string | undefined;
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
}

/** System calls are synchronous: after so many entries other work has a turn. */
const entriesPerTurn = 256;

/** All entries below a directory that nobody changes, parents first and siblings by the bytes of their names. */
export async function* walkTree(
  root: string,
  options: { readonly signal: AbortSignal },
): AsyncGenerator<TreeEntry, void> {
  const seen = new Map<bigint, string>();
  let count = 0;
  const pending = childrenOf(Buffer.from(root), "");
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    count += 1;
    if (count % entriesPerTurn === 0) await setImmediate(undefined, { signal: options.signal });
    const entry = readEntry(next, seen);
    yield entry;
    if (entry.stat.isDirectory()) for (const child of childrenOf(next.source, next.path)) pending.push(child);
  }
}

interface Place {
  readonly path: string;
  readonly source: Buffer;
}

/** The names in a directory, the last one first, since they are taken from the end. */
function childrenOf(directory: Buffer, path: string): Place[] {
  const entries: Dirent<Buffer>[] = readdirSync(directory, { encoding: "buffer", withFileTypes: true });
  const names = entries.map((entry) => decodeBytes(entry.name));
  return names
    .toSorted((a, b) => compareBytes(b, a))
    .map((name) => ({
      path: path === "" ? name : `${path}/${name}`,
      source: Buffer.concat([directory, slash, encodeBytes(name)]),
    }));
}

const slash = Buffer.from("/");

function readEntry(place: Place, seen: Map<bigint, string>): TreeEntry {
  const at = { fd: AT_FDCWD, path: place.source };
  const stat = lstatAt(at);
  let hardLinkOf: string | undefined;
  if (!stat.isDirectory() && !stat.isSymbolicLink() && stat.linkCount > 1) {
    hardLinkOf = seen.get(stat.inode);
    if (hardLinkOf === undefined) seen.set(stat.inode, place.path);
  }
  const target = stat.isSymbolicLink() ? decodeBytes(Buffer.from(readlinkAt(at))) : undefined;
  const xattrs = new Map<string, Uint8Array>();
  for (const name of listXattrs(place.source)) {
    const value = findXattr(place.source, name);
    if (value !== undefined) xattrs.set(name, value);
  }
  return { ...place, stat, target, hardLinkOf, xattrs };
}
