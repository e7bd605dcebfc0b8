import { type BigIntStats, lstatSync, readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { type MatchInfo, PatternMatcher } from "@buildkit-ts/patterns";
import type { FilePath } from "@buildkit-ts/sys";
import { type FileStat, goModeFrom, isDirectory, isSymlink } from "./file-stat.ts";
import { followLinks } from "./follow-links.ts";
import { compareNames } from "./path-order.ts";
import { pathBytes, pathText } from "./path-text.ts";
import type { SendEntry } from "./send-entry.ts";

/** Which entries of a directory to send. */
export interface TreeFilter {
  readonly includePatterns?: readonly string[];
  readonly excludePatterns?: readonly string[];
  /** Paths whose symbolic links are resolved into include patterns. */
  readonly followPaths?: readonly string[];
  /** Changes what is sent of an entry, such as its owner. */
  readonly map?: (stat: FileStat) => void;
  /** Reads extended attributes of an absolute path; without it, none are sent. */
  readonly xattrs?: (path: FilePath) => ReadonlyMap<string, Uint8Array> | undefined;
}

/** A name in a directory; bytes that are no UTF-8 are lone surrogates in it. */
interface Listed {
  readonly name: string;
  isDirectory(): boolean;
}

interface Level {
  readonly path: string;
  readonly names: readonly Listed[];
  index: number;
  readonly include: MatchInfo | undefined;
  readonly exclude: MatchInfo | undefined;
  isSent: boolean;
}

interface Match {
  readonly isLeftOut: boolean;
  readonly infos: Pick<Level, "include" | "exclude">;
  /** Of a directory: whether nothing in it can be sent either. */
  readonly isHopeless: () => boolean;
}

/**
 * Walks a directory in the order of file sync. A directory that the filter leaves out is sent nevertheless, right before
 * the first entry in it that is not left out.
 */
export function* walkTree(root: string, filter: TreeFilter = {}): Generator<SendEntry, void> {
  const walk = new TreeWalk(root, filter);
  for (;;) {
    const found = walk.next();
    if (found === undefined) return;
    yield* found;
  }
}

class TreeWalk {
  readonly #root: string;
  readonly #filter: TreeFilter;
  readonly #include: PatternMatcher | undefined;
  readonly #exclude: PatternMatcher | undefined;
  readonly #levels: Level[];
  readonly #seenInodes = new Map<bigint, string>();

  constructor(root: string, filter: TreeFilter) {
    this.#root = root;
    this.#filter = filter;
    this.#include = includeMatcher(root, filter);
    this.#exclude = filter.excludePatterns?.length ? new PatternMatcher(filter.excludePatterns) : undefined;
    const names = listDirectory(root);
    this.#levels = [{ path: "", names, index: 0, include: undefined, exclude: undefined, isSent: true }];
  }

  /** The next entry, behind those of its directories that were not sent yet. */
  next(): SendEntry[] | undefined {
    for (;;) {
      const level = this.#levels.at(-1);
      if (level === undefined) return undefined;
      const dirent = level.names[level.index];
      level.index += 1;
      if (dirent === undefined) {
        this.#levels.pop();
        continue;
      }
      const found = this.#visit(level, dirent);
      if (found !== undefined) return found;
    }
  }

  #visit(level: Level, dirent: Listed): SendEntry[] | undefined {
    const path = level.path === "" ? dirent.name : `${level.path}/${dirent.name}`;
    const match = this.#match(path, level);
    if (dirent.isDirectory() && match.isHopeless()) return undefined;
    const parents = match.isLeftOut ? [] : this.#unsentParents();
    const entry = match.isLeftOut ? undefined : this.#entry(path);
    // It may have become something else since the directory was listed.
    const isDir = entry === undefined ? match.isLeftOut && dirent.isDirectory() : isDirectory(entry.stat);
    if (isDir) this.#enter({ ...match.infos, path, isSent: !match.isLeftOut }, match.isLeftOut);
    return entry === undefined ? undefined : [...parents, entry];
  }

  #match(path: string, level: Level): Match {
    const include = this.#include?.matchesUsingParentResults(path, level.include);
    const exclude = this.#exclude?.matchesUsingParentResults(path, level.exclude);
    const notIncluded = include !== undefined && !include.matched;
    const isExcluded = exclude !== undefined && exclude.matched;
    return {
      isLeftOut: notIncluded || isExcluded,
      infos: { include: include?.info, exclude: exclude?.info },
      isHopeless: () =>
        (notIncluded && this.#include?.canMatchBelow(path) === false) ||
        (isExcluded && this.#exclude?.canNegateBelow(path) === false),
    };
  }

  #enter(level: Omit<Level, "names" | "index">, isLeftOut: boolean): void {
    try {
      this.#levels.push({ ...level, names: listDirectory(join(this.#root, level.path)), index: 0 });
    } catch (error) {
      // What is left out need not be readable.
      if (!(isLeftOut && hasCode(error, "EACCES")) && !hasCode(error, "ENOENT")) throw error;
    }
  }

  #unsentParents(): SendEntry[] {
    const entries: SendEntry[] = [];
    for (const level of this.#levels) {
      if (level.isSent) continue;
      level.isSent = true;
      const entry = this.#entry(level.path);
      if (entry !== undefined) entries.push(entry);
    }
    return entries;
  }

  #entry(path: string): SendEntry | undefined {
    const absolute = join(this.#root, path);
    const place = pathBytes(absolute);
    let found: BigIntStats;
    try {
      found = lstatSync(place, { bigint: true });
    } catch (error) {
      // Removed since the directory was listed.
      if (hasCode(error, "ENOENT")) return undefined;
      throw error;
    }
    const stat = statFrom(path, found);
    if (isSymlink(stat)) stat.linkName = pathText(readlinkSync(place, { encoding: "buffer" }));
    if (!isDirectory(stat) && found.nlink > 1n) this.#detectHardLink(stat, found.ino);
    const xattrs = this.#filter.xattrs?.(place);
    if (xattrs !== undefined && xattrs.size > 0) stat.xattrs = xattrs;
    this.#filter.map?.(stat);
    if (!found.isFile()) return { stat, content: found.isSocket() ? nothing : undefined };
    const listed = { sizeBytes: Number(found.size), modificationNs: found.mtimeNs };
    return { stat, content: absolute, listed };
  }

  #detectHardLink(stat: FileStat, inode: bigint): void {
    const first = this.#seenInodes.get(inode);
    if (first === undefined) {
      this.#seenInodes.set(inode, stat.path);
    } else if (!isSymlink(stat)) {
      stat.linkName = first;
      stat.size = 0;
    }
  }
}

/** What a socket holds for those who ask: it is sent as an empty file, as BuildKit's clients do. */
const nothing = new Uint8Array(0);

function includeMatcher(root: string, filter: TreeFilter): PatternMatcher | undefined {
  let patterns = [...(filter.includePatterns ?? [])];
  if (filter.followPaths !== undefined) {
    const targets = followLinks(root, filter.followPaths);
    // Undefined: the root itself is among them, so nothing is left out for their sake.
    if (targets !== undefined) patterns = withoutNested([...patterns, ...targets]);
  }
  return patterns.length > 0 ? new PatternMatcher(patterns) : undefined;
}

/** Leaves out patterns that lie below the one before them. */
export function withoutNested(patterns: readonly string[]): string[] {
  const kept: string[] = [];
  for (const pattern of patterns) {
    if (pattern === ".") return [];
    const last = kept.at(-1);
    if (last === undefined || !pattern.startsWith(`${last}/`)) kept.push(pattern);
  }
  return kept;
}

function listDirectory(path: string): Listed[] {
  const place = pathBytes(path);
  const decoded: Listed[] = readdirSync(place, { withFileTypes: true });
  // A replacement character may stand for what is no UTF-8.
  const names = decoded.some(({ name }) => name.includes("\uFFFD"))
    ? readdirSync(place, { withFileTypes: true, encoding: "buffer" }).map(withText)
    : decoded;
  return names.sort((left, right) => compareNames(left.name, right.name));
}

function withText(entry: { readonly name: Uint8Array; isDirectory(): boolean }): Listed {
  return { name: pathText(entry.name), isDirectory: () => entry.isDirectory() };
}

function statFrom(path: string, found: BigIntStats): FileStat {
  const mode = goModeFrom(Number(found.mode));
  const isDevice = found.isCharacterDevice() || found.isBlockDevice();
  return {
    path,
    mode,
    uid: Number(found.uid),
    gid: Number(found.gid),
    size: found.isDirectory() ? 0 : Number(found.size),
    modTime: found.mtimeNs,
    linkName: "",
    devMajor: isDevice ? Number(((found.rdev >> 8n) & 0xfffn) | ((found.rdev >> 32n) & 0xfffff000n)) : 0,
    devMinor: isDevice ? Number((found.rdev & 0xffn) | ((found.rdev >> 12n) & 0xffffff00n)) : 0,
    xattrs: undefined,
  };
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
