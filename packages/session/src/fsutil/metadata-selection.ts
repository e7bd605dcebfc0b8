import { BuildError } from "@buildkit-ts/errdefs";
import { PatternMatcher } from "@buildkit-ts/patterns";
import { type FileStat, hasContent, isDirectory } from "./file-stat.ts";
import { PacketWriter } from "./packet-writer.ts";

/** The file that lists a tree of which only some files were received; clients know it by this name. */
export const metadataFileName = ".fsutil-metadata";

const maxListBytes = 256 << 20;

/** An entry with its place in the sender's list, by which its bytes are asked for. */
export interface NumberedStat {
  readonly stat: FileStat;
  readonly id: number;
}

/**
 * Chooses the files of a tree that are received when only its metadata are wanted, and lists all of it.
 *
 * Directories come with the first file that is chosen in them.
 */
export class MetadataSelection {
  readonly #matcher: PatternMatcher;
  readonly #writer = new PacketWriter();
  readonly #chunks: Buffer[] = [];
  readonly #parents: NumberedStat[] = [];
  readonly #chosenFiles = new Set<string>();
  #bytes = 0;

  /** @throws {BuildError} `invalid_argument`, for a malformed pattern. */
  constructor(patterns: readonly string[]) {
    this.#matcher = new PatternMatcher(patterns);
  }

  /** Each entry as `fsutil.types.Stat`, after its length in four bytes, the lowest first. */
  get list(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  /** What to receive now: the entry, after the directories that it is in, or nothing. */
  take(stat: FileStat, id: number): NumberedStat[] {
    // A file of that name is not the sender's to give.
    if (stat.path === metadataFileName) return [];
    this.#append(stat);
    for (let last = this.#parents.at(-1); last !== undefined; last = this.#parents.at(-1)) {
      if (stat.path.startsWith(`${last.stat.path}/`)) break;
      this.#parents.pop();
    }
    const isChosen = this.#matcher.matches(stat.path);
    if (!isChosen) {
      if (isDirectory(stat)) this.#parents.push({ stat, id });
      return [];
    }
    const parents = this.#parents.splice(0);
    return [...parents, { stat: this.#choose(stat), id }];
  }

  /** A second name of a file that was not chosen becomes a file of its own. */
  #choose(stat: FileStat): FileStat {
    if (!hasContent(stat)) return stat;
    this.#chosenFiles.add(stat.path);
    return stat.linkName === "" || this.#chosenFiles.has(stat.linkName) ? stat : { ...stat, linkName: "" };
  }

  #append(stat: FileStat): void {
    this.#writer.listed(stat);
    const entry = this.#writer.take();
    this.#chunks.push(entry);
    this.#bytes += entry.length;
    if (this.#bytes > maxListBytes)
      throw new BuildError(
        "resource_exhausted",
        `Cannot receive metadata: the list is larger than ${maxListBytes} bytes`,
      );
  }
}

/** The list's own entry; its time is fixed, so that equal trees have equal lists. */
export function metadataStat(size: number): FileStat {
  return {
    path: metadataFileName,
    mode: 0o644,
    uid: 0,
    gid: 0,
    size,
    modTime: 0n,
    linkName: "",
    devMajor: 0,
    devMinor: 0,
    xattrs: undefined,
  };
}
