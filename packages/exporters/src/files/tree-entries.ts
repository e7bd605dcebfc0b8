import {
  comparePaths,
  type FileStat,
  goMode,
  prefixEntries,
  readXattrs,
  type SendEntry,
  walkTree,
} from "@buildkit-ts/session";
import type { StatementFile } from "../attestation/statement-files.ts";
import { platformDirectory, type ResultTree } from "./tree-options.ts";

/** Walks anew each time it is iterated. */
export function entriesOf(
  directory: string,
  options: { readonly tree: ResultTree; readonly split: boolean; readonly statements: readonly StatementFile[] },
): Iterable<SendEntry> {
  const { id, epochSeconds } = options.tree;
  const { statements } = options;
  const modTime = epochSeconds === undefined ? undefined : BigInt(epochSeconds) * 1_000_000_000n;
  const filter = {
    xattrs: readXattrs,
    ...(modTime !== undefined && {
      map: (stat: FileStat) => {
        stat.modTime = modTime;
      },
    }),
  };
  const platform = options.split ? directoryStat(platformDirectory(id), modTime ?? 0n) : undefined;
  return {
    [Symbol.iterator]: () => {
      const files = walkTree(directory, filter);
      const entries = statements.length === 0 ? files : mergeEntries([statementEntries(statements, modTime), files]);
      return platform === undefined ? entries : prefixEntries(platform, entries);
    },
  };
}

/** In the order of file sync. */
function statementEntries(statements: readonly StatementFile[], modTime: bigint | undefined): SendEntry[] {
  const now = BigInt(Math.floor(Date.now() / 1000)) * 1_000_000_000n;
  const none = { uid: 0, gid: 0, linkName: "", devMajor: 0, devMinor: 0, xattrs: undefined };
  return statements
    .map(({ name, bytes }) => ({
      stat: { ...none, path: name, mode: 0o600, size: bytes.length, modTime: modTime ?? now },
      content: bytes,
    }))
    .toSorted((a, b) => comparePaths(a.stat.path, b.stat.path));
}

function directoryStat(path: string, modTime: bigint): FileStat {
  const none = { uid: 0, gid: 0, size: 0, linkName: "", devMajor: 0, devMinor: 0, xattrs: undefined };
  return { ...none, path, modTime, mode: goMode.directory + 0o755 };
}

/** Several trees as one in the order of file sync; what two of them have comes once, from the first. */
export function* mergeEntries(trees: readonly Iterable<SendEntry>[]): Generator<SendEntry, void> {
  const heads = trees.map((entries) => {
    const iterator = entries[Symbol.iterator]();
    return { iterator, next: iterator.next() };
  });
  for (;;) {
    const live = heads.filter(({ next }) => next.done !== true);
    const [first] = live.toSorted((a, b) => comparePaths(pathOf(a.next), pathOf(b.next)));
    if (first === undefined) return;
    const path = pathOf(first.next);
    yield first.next.value as SendEntry;
    for (const head of live) if (pathOf(head.next) === path) head.next = head.iterator.next();
  }
}

function pathOf(result: IteratorResult<SendEntry, void>): string {
  return result.done === true ? "" : result.value.stat.path;
}
