import { lstatSync, readdirSync, readlinkSync } from "node:fs";
import { posix } from "node:path";
import { matchPath } from "@buildkit-ts/patterns";
import { pathBytes, pathText } from "./path-text.ts";

/** A tree of links that a user would follow is far smaller; a hostile one must end. */
const maxResolved = 100_000;

/**
 * The given paths and everything that their symbolic links lead to inside the root, sorted. Components may hold
 * wildcards. Undefined if the root itself is among them.
 */
export function followLinks(root: string, paths: readonly string[]): string[] | undefined {
  const resolver = new LinkResolver(root);
  for (const path of paths) resolver.append(path);
  const { resolved } = resolver;
  if (resolved.has("")) return undefined;
  return [...resolved].filter((path) => !isBelowAny(path, resolved)).sort();
}

function isBelowAny(path: string, others: ReadonlySet<string>): boolean {
  for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
    if (others.has(path.slice(0, end))) return true;
  }
  return false;
}

class LinkResolver {
  readonly resolved: Set<string> = new Set();
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  append(path: string): void {
    const queue = [path];
    for (let next = queue.pop(); next !== undefined && this.resolved.size < maxResolved; next = queue.pop()) {
      for (const target of this.#resolve(next)) queue.push(target);
    }
  }

  /** Notes the path up to its first link, and gives where that leads. */
  #resolve(path: string): string[] {
    const parts = posix.join("/", path).slice(1).split("/");
    let current = "";
    for (const [index, part] of parts.entries()) {
      current = posix.join(current, part);
      if (current === ".") current = "";
      const isLast = index === parts.length - 1;
      const targets = this.#linkTargets(current);
      if (targets === undefined && !isLast) continue;
      if (this.resolved.has(current)) return [];
      this.resolved.add(current);
      const rest = parts.slice(index + 1).join("/");
      return (targets ?? []).map((target) => posix.join(target, rest));
    }
    return [];
  }

  #linkTargets(path: string): string[] | undefined {
    const directory = posix.dirname(path);
    const name = posix.basename(path);
    if (!hasWildcards(name)) return this.#readLink(path);
    let names: string[];
    try {
      names = readdirSync(pathBytes(posix.join(this.#root, directory)), { encoding: "buffer" }).map(pathText);
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
    const targets = names
      .filter((candidate) => matchPath(name, candidate))
      .flatMap((candidate) => this.#readLink(posix.join(directory, candidate)) ?? []);
    return targets.length > 0 ? targets : undefined;
  }

  #readLink(path: string): string[] | undefined {
    const absolute = pathBytes(posix.join(this.#root, path));
    try {
      if (path === "" || !lstatSync(absolute).isSymbolicLink()) return undefined;
      const target = posix.normalize(pathText(readlinkSync(absolute, { encoding: "buffer" })));
      return [posix.isAbsolute(target) ? target : posix.join("/", posix.dirname(path), target)];
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }
}

function hasWildcards(name: string): boolean {
  return /[*?[]/.test(name.replaceAll(/\\./g, ""));
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR");
}
