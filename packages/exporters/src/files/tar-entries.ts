import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { S_IFBLK, S_IFCHR, S_IFIFO, S_IFMT, S_IFREG } from "@buildkit-ts/sys";
import type { TarEntry, TarEntryType } from "@buildkit-ts/tar";
import type { StatementFile } from "../attestation/statement-files.ts";
import { type TreeEntry, walkTree } from "./walk-tree.ts";

/** How a tree becomes a part of an archive. */
export interface TarTree {
  readonly directory: string;
  /** Directory of the archive that the tree goes into; empty for the archive itself. */
  readonly prefix: string;
  /** All times become this many seconds since the epoch. */
  readonly epochSeconds: number | undefined;
  /** Put beside what is in the directory, in place of files of the same names. */
  readonly statements: readonly StatementFile[];
}

/** The entries of an archive of some trees, as BuildKit's `tar` output has them. Sockets are left out. */
export async function* tarEntries(
  trees: readonly TarTree[],
  options: { readonly signal: AbortSignal },
): AsyncGenerator<TarEntry, void> {
  for (const tree of trees) {
    if (tree.prefix !== "") yield directoryEntry(`${tree.prefix}/`, tree.epochSeconds ?? 0);
    const replaced = new Set(tree.statements.map(({ name }) => name));
    for await (const entry of walkTree(tree.directory, options)) {
      const type = typeOf(entry);
      if (type !== undefined && !replaced.has(entry.path)) yield toTarEntry(entry, { type, tree });
    }
    for (const statement of tree.statements) yield statementEntry(statement, tree);
  }
}

function directoryEntry(name: string, mtimeSeconds: number): TarEntry {
  return { header: { name, type: "directory", mode: 0o755, uid: 0, gid: 0, size: 0, mtimeSeconds }, content: [] };
}

function statementEntry({ name, bytes }: StatementFile, { prefix, epochSeconds }: TarTree): TarEntry {
  const path = prefix === "" ? name : `${prefix}/${name}`;
  const mtimeSeconds = epochSeconds ?? Math.floor(Date.now() / 1000);
  return {
    header: { name: path, type: "file", mode: 0o600, uid: 0, gid: 0, size: bytes.length, mtimeSeconds },
    content: [bytes],
  };
}

function typeOf(entry: TreeEntry): TarEntryType | undefined {
  if (entry.hardLinkOf !== undefined) return "hardlink";
  if (entry.stat.isDirectory()) return "directory";
  if (entry.stat.isSymbolicLink()) return "symlink";
  const type = entry.stat.mode & S_IFMT;
  if (type === S_IFREG) return "file";
  if (type === S_IFCHR) return "character";
  if (type === S_IFBLK) return "block";
  return type === S_IFIFO ? "fifo" : undefined;
}

function toTarEntry(entry: TreeEntry, options: { readonly type: TarEntryType; readonly tree: TarTree }): TarEntry {
  const { type, tree } = options;
  const { stat } = entry;
  const inTree = (path: string): string => (tree.prefix === "" ? path : `${tree.prefix}/${path}`);
  const size = type === "file" ? stat.sizeBytes : 0;
  const isDevice = type === "character" || type === "block";
  return {
    header: {
      name: inTree(entry.path) + (type === "directory" ? "/" : ""),
      type,
      mode: stat.mode & 0o7777,
      uid: stat.uid,
      gid: stat.gid,
      size,
      // Go's archive/tar rounds to whole seconds where no format is asked for.
      mtimeSeconds: tree.epochSeconds ?? Number((stat.modificationNs + 500_000_000n) / 1_000_000_000n),
      ...(entry.hardLinkOf !== undefined && { linkName: inTree(entry.hardLinkOf) }),
      ...(entry.target !== undefined && { linkName: entry.target }),
      ...(entry.xattrs.size > 0 && { xattrs: entry.xattrs }),
      ...(isDevice && { deviceMajor: stat.specialDevice.major, deviceMinor: stat.specialDevice.minor }),
    },
    content: type === "file" && size > 0 ? readFileChunks(entry.source, size) : [],
  };
}

const chunkBytes = 1 << 20;

/** The bytes of a regular file. */
export async function* readFileChunks(path: Buffer, size: number): AsyncGenerator<Uint8Array, void> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  for (let at = 0; at < size; ) {
    const buffer = Buffer.allocUnsafe(Math.min(chunkBytes, size - at));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
    if (bytesRead === 0) return;
    at += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}
