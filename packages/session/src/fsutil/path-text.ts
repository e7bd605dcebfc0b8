import type { FilePath } from "@buildkit-ts/sys";
import { decodeBytes, encodeBytes } from "@buildkit-ts/tar";

/** A path or name as system calls take it: the original bytes for what {@linkcode pathText} escaped. */
export function pathBytes(text: string): FilePath {
  return text.isWellFormed() ? text : encodeBytes(text);
}

/** A name that was read from a directory or link as text; bytes that are no UTF-8 are lone surrogates in it. */
export function pathText(name: string | Uint8Array): string {
  return typeof name === "string" ? name : decodeBytes(name);
}
