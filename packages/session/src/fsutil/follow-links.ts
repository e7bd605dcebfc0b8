import { lstatSync, readdirSync, readlinkSync } from "node:fs";
import { posix } from "node:path";
import { matchPath } from "@buildkit-ts/patterns";

/** A tree of links that a user would follow is far smaller; a hostile one must end. */
const maxResolved = 100_000;

/**
 * The given paths and everything that their symbolic links lead to inside the root, sorted. The last component of a path
 * may hold wildcards. Undefined if the root itself is among them.
 */
export function followLinks(root: string, paths: readonly string[]): string[] | undefined {
  const resolver = new LinkResolver(root);
  for (const path of paths) resolver.append(path);
  const sorted = [...resolver.resolved].sort();
  if (sorted.includes("")) return undefined;
  return sorted.filter((path, index) => {
    const before = sorted.slice(0, index).findLast((other) => path.startsWith(`${other}/`));
    return before === undefined;
  });
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
      queue.push(...this.#resolve(next));
    }
  }

  /** Notes the path up to its first link, and gives where that leads. */
  #resolve(path: string): string[] {
    const parts = posix.join("/", path).slice(1).split("/");
    let current = "";
    for (const [index, part] of parts.entries()) {
      current = posix.join(current, part);
      if (current === ".") current = "";
      const targets = this.#linkTargets(current);
      const isLast = index === parts.length - 1;
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
      names = readdirSync(posix.join(this.#root, directory));
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
    return names
      .filter((candidate) => matchPath(name, candidate))
      .flatMap((candidate) => this.#readLink(posix.join(directory, candidate)) ?? []);
  }

  #readLink(path: string): string[] | undefined {
    const absolute = posix.join(this.#root, path);
    try {
      if (path === "" || !lstatSync(absolute).isSymbolicLink()) return undefined;
      const target = posix.normalize(readlinkSync(absolute));
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
