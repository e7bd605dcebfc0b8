import type { DirectoryCache } from "./directory-cache.ts";
import { type FileStat, hasContent } from "./file-stat.ts";
import { PacketWriter } from "./packet-writer.ts";

/** More is compared by the thread that receives it. */
const maxBytes = 64 << 10;

interface Expected {
  readonly content: Buffer;
  matched: number;
}

/** Contents of the files of a tree, which are asked for and compared with what comes. */
export class ExpectedContents {
  readonly #files: ReadonlyMap<number, Expected>;
  readonly #ended = new Set<number>();
  /** What asks for all of them, in the order in which the thread asks. */
  readonly requests: Buffer;

  private constructor(files: ReadonlyMap<number, Expected>) {
    this.#files = files;
    const writer = new PacketWriter(1024);
    for (const id of files.keys()) writer.request(id);
    this.requests = writer.take();
  }

  /** Undefined, where a tree has more than bytes that can be compared: much of them, further names, attributes. */
  static of(stats: readonly FileStat[], tree: DirectoryCache): ExpectedContents | undefined {
    const files = new Map<number, Expected>();
    let bytes = 0;
    for (const [id, stat] of stats.entries()) {
      if (!hasContent(stat)) continue;
      bytes += stat.size;
      if (stat.linkName !== "" || stat.xattrs !== undefined || bytes > maxBytes) return undefined;
      const content = tree.readFile(stat.path);
      if (content?.length !== stat.size) return undefined;
      files.set(id, { content, matched: 0 });
    }
    return new ExpectedContents(files);
  }

  /** Takes a part of a file, the empty one at its end. @returns whether it is what was expected. */
  take(id: number, data: Buffer): boolean {
    const file = this.#files.get(id);
    if (file === undefined) return false;
    const { content, matched } = file;
    if (data.length === 0) return matched === content.length && this.#end(id);
    if (!content.subarray(matched, matched + data.length).equals(data)) return false;
    file.matched += data.length;
    return true;
  }

  #end(id: number): boolean {
    if (this.#ended.has(id)) return false;
    this.#ended.add(id);
    return true;
  }

  /** Whether all files have come to their ends. */
  get areComplete(): boolean {
    return this.#ended.size === this.#files.size;
  }
}
