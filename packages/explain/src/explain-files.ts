import { decodeDirectory } from "@buildkit-ts/cache";
import type { MissedInput } from "@buildkit-ts/solver";
import { compareListings, type FileChange, type FileChanges } from "./file-changes.ts";
import type { ListingStore } from "./listing-store.ts";
import type { RecordedInput } from "./step-record.ts";

/** Which files of an input differ from those of a record; undefined where one of both lists is not known. */
export async function changedFiles(
  input: MissedInput,
  recorded: RecordedInput,
  listings: ListingStore,
): Promise<(FileChanges & { readonly total: number }) | undefined> {
  const before = recorded.listing;
  if (before === undefined || input.list === undefined || listings.entries(before) === undefined) return undefined;
  const now = await input.list();
  const changes = await compareListings(
    { before, after: now.root },
    {
      before: (digest) => listings.entries(digest),
      after: (digest) => {
        const bytes = now.directories.get(digest);
        return bytes === undefined ? undefined : decodeDirectory(bytes);
      },
    },
  );
  const first = await withBytesCompared(input, changes.first);
  return { ...changes, first, total: now.files + changes.removed };
}

/** Says of files with other attributes whether their bytes have changed too. */
async function withBytesCompared(input: MissedInput, changes: readonly FileChange[]): Promise<FileChange[]> {
  const unsure = changes.flatMap(({ path, before }) => {
    if (before === undefined) return [];
    const { mode, uid, gid, digest } = before;
    return [{ path: `/${path}`, mode, uid, gid, digest }];
  });
  const same = unsure.length === 0 ? [] : await input.withSameBytes(unsure);
  const others = new Set(unsure.filter((_, i) => same[i] !== true).map(({ path }) => path));
  return changes.map(({ path, what }) => ({ path, what: others.has(`/${path}`) ? ["content", ...what] : what }));
}
