/** A directory or a file of a tree, and how much of the content that is sent lies in it. */
export interface HeavyPart {
  /** Relative to the tree's root; bytes that are no UTF-8 are lone surrogates. */
  readonly path: string;
  readonly bytes: number;
  readonly files: number;
}

/** What is going to be sent, as the sizes in the list say. */
export interface ExpectedContent {
  readonly bytes: number;
  readonly files: number;
  /** Those parts that have at least a tenth of it, the heaviest first: three at most. */
  readonly heaviest: readonly HeavyPart[];
}

/** Below this depth nothing is told apart. */
const maxDepth = 3;
/** A sender decides how many names there are. What is beyond this number counts for the directory that it is in. */
const maxNodes = 16_384;
/** Smaller files have no node of their own. */
const minFileBytes = 1 << 20;
const maxParts = 3;
const minShare = 0.1;
/** One thing that has so much of a directory says more than the directory. */
const dominantShare = 0.8;

interface Node {
  readonly path: string;
  bytes: number;
  files: number;
  readonly children: Map<string, Node>;
}

/** Adds the sizes of files up, by what they lie in. Its size does not depend on how many files there are. */
export class ContentWeights {
  readonly #root = newNode("");
  #nodes = 0;
  /** Files come by directory, so that it is mostly the one before. */
  #directory = "";
  #chain: readonly Node[] = [this.#root];

  add(path: string, bytes: number): void {
    const end = path.lastIndexOf("/");
    if (end !== this.#directory.length || !path.startsWith(this.#directory))
      this.#enter(path.slice(0, Math.max(0, end)));
    for (const node of this.#chain) count(node, bytes);
    if (bytes < minFileBytes || this.#chain.length > maxDepth) return;
    const file = this.#child(this.#chain.at(-1) ?? this.#root, path.slice(end + 1));
    if (file !== undefined) count(file, bytes);
  }

  get expected(): ExpectedContent {
    const { bytes, files, children } = this.#root;
    const heaviest = [...children.values()]
      .map(narrow)
      .filter((node) => bytes > 0 && node.bytes >= bytes * minShare)
      .toSorted((left, right) => right.bytes - left.bytes)
      .slice(0, maxParts)
      .map((node) => ({ path: node.path, bytes: node.bytes, files: node.files }));
    return { bytes, files, heaviest };
  }

  #enter(directory: string): void {
    const chain = [this.#root];
    for (const name of directory === "" ? [] : directory.split("/", maxDepth)) {
      const child = this.#child(chain.at(-1) ?? this.#root, name);
      if (child === undefined) break;
      chain.push(child);
    }
    this.#directory = directory;
    this.#chain = chain;
  }

  #child(parent: Node, name: string): Node | undefined {
    const known = parent.children.get(name);
    if (known !== undefined || this.#nodes >= maxNodes) return known;
    this.#nodes += 1;
    const child = newNode(parent.path === "" ? name : `${parent.path}/${name}`);
    parent.children.set(name, child);
    return child;
  }
}

function newNode(path: string): Node {
  return { path, bytes: 0, files: 0, children: new Map() };
}

function count(node: Node, bytes: number): void {
  node.bytes += bytes;
  node.files += 1;
}

/** The part of it that has nearly all, however deep. */
function narrow(node: Node): Node {
  const dominant = node.children.values().find((child) => child.bytes >= node.bytes * dominantShare);
  return dominant === undefined ? node : narrow(dominant);
}
