import { type FilePath, findXattr, listXattrs } from "@buildkit-ts/sys";

/** Belong to a machine of Apple's and to nothing else; BuildKit's clients leave them out. */
const applePrefix = "com.apple.";

/** A file's extended attributes; undefined if it has none. The last component is not followed. */
export function readXattrs(path: FilePath): ReadonlyMap<string, Uint8Array> | undefined {
  const names = listXattrs(path);
  if (names.length === 0) return undefined;
  const values = new Map<string, Uint8Array>();
  for (const name of names.toSorted()) {
    const value = name.startsWith(applePrefix) ? undefined : findXattr(path, name);
    if (value !== undefined) values.set(name, value);
  }
  return values;
}
