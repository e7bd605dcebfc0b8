import type { Digest } from "@buildkit-ts/oci";
import type { HashedAttributes } from "@buildkit-ts/tar";

/**
 * One path of a {@linkcode DigestTree}. Names and links are byte strings (one character per byte), so that their order is
 * the order of bytes, which digests of directories depend on.
 *
 * A `gap` is a directory that only leads to paths that are known; nothing else is known of it.
 */
export class TreeNode {
  readonly name: string;
  kind: "gap" | "file" | "symlink" | "directory";
  /** Of a file or link itself; of a directory with all that is in it. */
  digest: Digest | undefined;
  /** Of a directory's own attributes. */
  header: Digest | undefined;
  link = "";
  /** What the digest stands for beside the content, once somebody has looked. It is no part of the tree's code. */
  attributes: HashedAttributes | undefined;
  readonly #children = new Map<string, TreeNode>();
  #sorted: readonly TreeNode[] | undefined;

  constructor(name: string, kind: TreeNode["kind"]) {
    this.name = name;
    this.kind = kind;
  }

  child(name: string): TreeNode | undefined {
    return this.#children.get(name);
  }

  add(child: TreeNode): void {
    this.#children.set(child.name, child);
    this.#sorted = undefined;
  }

  remove(name: string): void {
    if (this.#children.delete(name)) this.#sorted = undefined;
  }

  /** In the order of their names' bytes. */
  get children(): readonly TreeNode[] {
    this.#sorted ??= [...this.#children.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
    return this.#sorted;
  }
}

const maxSymlinks = 255;

/** What is known of the content of a file tree. A directory that is known is known with all that is in it. */
export class DigestTree {
  readonly root: TreeNode;

  constructor(root: TreeNode = new TreeNode("", "gap")) {
    this.root = root;
  }

  /** @param path Clean and absolute; empty for the root. */
  find(path: string): TreeNode | undefined {
    let node: TreeNode | undefined = this.root;
    for (const name of namesOf(path)) {
      node = node.child(name);
      if (node === undefined) return undefined;
    }
    return node.kind === "gap" ? undefined : node;
  }

  /** The node at a path, made with all directories that lead to it where it is not there. */
  ensure(path: string): TreeNode {
    return this.#ensure(path, () => "gap");
  }

  #ensure(path: string, kindIn: (parent: TreeNode) => TreeNode["kind"]): TreeNode {
    let node = this.root;
    for (const name of namesOf(path)) {
      let child = node.child(name);
      if (child === undefined) {
        child = new TreeNode(name, kindIn(node));
        node.add(child);
      }
      node = child;
    }
    return node;
  }

  /**
   * As {@linkcode DigestTree.ensure}, for somebody who changes the node and tells of all that is added: digests of all that it is
   * in are forgotten. What is made where all was known was not there before, so nothing is in it but what is told. What is made
   * in a gap may have been there, with more in it than is known.
   */
  change(path: string): TreeNode {
    this.#forgetOnTheWay(path);
    const node = this.#ensure(path, (parent) => (parent.kind === "gap" ? "gap" : "directory"));
    node.digest = undefined;
    node.attributes = undefined;
    return node;
  }

  /** Forgets a path with all that is in it, as something that is not there any more. */
  remove(path: string): void {
    const parent = this.#forgetOnTheWay(path);
    parent?.remove(path.slice(path.lastIndexOf("/") + 1));
  }

  /** @returns The parent, if it is there. */
  #forgetOnTheWay(path: string): TreeNode | undefined {
    let node: TreeNode | undefined = this.root;
    for (const name of namesOf(path.slice(0, Math.max(0, path.lastIndexOf("/"))))) {
      node.digest = undefined;
      node = node.child(name);
      if (node === undefined) return undefined;
    }
    node.digest = undefined;
    return node;
  }

  /**
   * Resolves a path within the tree, symbolic links included; the last component's only if `followLast`.
   *
   * @param onStep Told each path on the way, and what is known there.
   * @throws {Error} `too many links`
   */
  resolve(
    path: string,
    options: { readonly followLast: boolean; readonly onStep?: (path: string, node: TreeNode | undefined) => void },
  ): { readonly path: string; readonly node: TreeNode | undefined } {
    const direct = this.find(path);
    if (path === "" || (direct !== undefined && !(options.followLast && direct.kind === "symlink")))
      return { path, node: direct };
    let current = "";
    let remaining = path;
    let node: TreeNode | undefined;
    let links = 0;
    while (remaining !== "") {
      const slash = remaining.indexOf("/");
      const name = slash < 0 ? remaining : remaining.slice(0, slash);
      remaining = slash < 0 ? "" : remaining.slice(slash + 1);
      const next = joinPath(current, name);
      node = this.find(next);
      options.onStep?.(next, node);
      if (node?.kind !== "symlink" || (!options.followLast && remaining === "")) {
        current = next;
        continue;
      }
      links += 1;
      if (links > maxSymlinks) throw new Error("too many links");
      remaining = `${node.link}/${remaining}`;
      if (node.link.startsWith("/")) current = "";
    }
    return { path: current, node };
  }

  /** Whether the path must be looked for in the file tree: neither it nor a directory above it is known. */
  needsScan(path: string, followLast: boolean): boolean {
    const known: string[] = [];
    let isBelowKnown = false;
    const { node } = this.resolve(path, {
      followLast,
      onStep: (step, found) => {
        if (found === undefined) isBelowKnown = known.some((prefix) => `${step}/`.startsWith(prefix));
        else {
          isBelowKnown = found.kind !== "symlink";
          known.push(`${step}/`);
        }
      },
    });
    return node === undefined && !isBelowKnown;
  }
}

/** The path of a component, which may be `.` or `..`, in a directory; never above the root. */
export function joinPath(directory: string, name: string): string {
  if (name === "" || name === ".") return directory;
  if (name !== "..") return `${directory}/${name}`;
  return directory.slice(0, Math.max(0, directory.lastIndexOf("/")));
}

function namesOf(path: string): string[] {
  return path === "" ? [] : path.slice(1).split("/");
}
