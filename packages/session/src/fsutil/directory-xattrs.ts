import { createHash, type Hash } from "node:crypto";
import { type FileStat, isDirectory } from "./file-stat.ts";

/**
 * A digest of the extended attributes with which directories were listed, by which it is seen that nothing else about a tree has
 * changed. It is of what was sent: what of it a file system took does not count, and no directory has to be asked.
 *
 * Nothing is computed for trees without any, which are nearly all.
 */
export class DirectoryXattrs {
  #hash: Hash | undefined;

  add(stat: FileStat): void {
    const { path, xattrs } = stat;
    if (xattrs === undefined || xattrs.size === 0 || !isDirectory(stat)) return;
    this.#hash ??= createHash("sha256");
    // Senders list them in any order.
    const names = [...xattrs.keys()].toSorted();
    this.#add(path, String(names.length));
    for (const name of names) this.#add(name, xattrs.get(name) ?? "");
  }

  #add(...parts: readonly (string | Uint8Array)[]): void {
    // Of each part it has to be known where it ends.
    for (const part of parts) {
      const bytes = typeof part === "string" ? Buffer.from(part, "utf16le") : part;
      this.#hash?.update(`${bytes.length}:`).update(bytes);
    }
  }

  /** Of what was added so far; empty, if there were none. */
  get digest(): string {
    return this.#hash?.copy().digest("hex") ?? "";
  }
}
