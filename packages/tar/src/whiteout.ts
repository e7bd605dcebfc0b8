/** Prefix of the names that mark what a layer deletes (OCI image spec, layer.md "Whiteouts"). */
export const whiteoutPrefix = ".wh.";
/** Name of the entry that hides everything lower layers have in its directory. */
export const opaqueWhiteout = ".wh..wh..opq";

/** What the last component of an entry's name says about deletion; undefined for ordinary entries. */
export function parseWhiteout(
  base: string,
): { readonly kind: "opaque" } | { readonly kind: "delete"; readonly name: string } | undefined {
  if (base === opaqueWhiteout) return { kind: "opaque" };
  return base.startsWith(whiteoutPrefix) ? { kind: "delete", name: base.slice(whiteoutPrefix.length) } : undefined;
}

/**
 * The components of an entry's path below the root: `.` and empty ones dropped, `..` never leads above the root.
 * An empty list is the root itself.
 */
export function splitTarName(name: string): string[] {
  const parts: string[] = [];
  for (const part of name.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === "..") parts.pop();
    else parts.push(part);
  }
  return parts;
}
