import { lstat, readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import { digestOfFile } from "./digest-of-file.ts";

/**
 * What the first tree has that is not so in the second: kind, permissions, owner, size and content of files. Times are left
 * out, since directories change theirs while they are filled, and so is what only the second tree has: a runtime leaves
 * directories behind that no layer names.
 *
 * @returns The first difference as text, or undefined.
 */
export async function findTreeDifference(
  expected: string,
  actual: string,
  options: { readonly signal: AbortSignal },
): Promise<string | undefined> {
  for (const entry of await readdir(expected, { withFileTypes: true })) {
    options.signal.throwIfAborted();
    const paths = [join(expected, entry.name), join(actual, entry.name)] as const;
    const difference = await compareEntries(...paths);
    if (difference !== undefined) return `${difference} at ${entry.name}`;
    const below = entry.isDirectory() ? await findTreeDifference(...paths, options) : undefined;
    if (below !== undefined) return below;
  }
  return undefined;
}

async function compareEntries(expected: string, actual: string): Promise<string | undefined> {
  const [a, b] = await Promise.all([lstat(expected), lstat(actual).catch(ifMissing)]);
  if (b === undefined) return "nothing";
  if (a.mode !== b.mode) return "another kind or mode";
  if (a.uid !== b.uid || a.gid !== b.gid) return "another owner";
  if (a.rdev !== b.rdev) return "another device";
  if (a.isSymbolicLink() && (await readlink(expected)) !== (await readlink(actual))) return "another link";
  if (!a.isFile()) return undefined;
  if (a.size !== b.size) return "another size";
  const [one, other] = await Promise.all([digestOfFile(expected), digestOfFile(actual)]);
  return one === other ? undefined : "other content";
}

function ifMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT" && error.code !== "ENOTDIR") throw error;
  return undefined;
}
