import { joinPath } from "./digest-tree.ts";

/** Text as bytes, one character each. */
export function byteText(text: string | Uint8Array): string {
  return Buffer.from(text as string).toString("latin1");
}

/** The opposite of {@linkcode byteText}; bytes that are no UTF-8 become U+FFFD. */
export function utf8Text(bytes: string): string {
  return Buffer.from(bytes, "latin1").toString();
}

/** An absolute path without `.` and `..`; empty for the root. */
export function keyPath(path: string): string {
  return path.split("/").reduce(joinPath, "");
}
