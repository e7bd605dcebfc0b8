/** Paths to ask a client for, relative and sorted; undefined if all or none are wanted. */
export function followedPaths(paths: ReadonlySet<string>): readonly string[] | undefined {
  if (paths.size === 0 || paths.has("/")) return undefined;
  return [...paths].map((path) => path.replace(/^\/+/, "") || ".").toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}
