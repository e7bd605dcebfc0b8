import { type BigIntStats, closeSync, constants, fstatSync, openSync } from "node:fs";
import { O_PATH } from "@buildkit-ts/sys";

interface Node {
  readonly id: bigint;
  /** Opened with `O_PATH`: it names the file whatever becomes of its names. */
  readonly fd: number;
  readonly inode: bigint;
  lookups: bigint;
}

const rootId = 1n;

/** The files that the kernel knows, by the numbers that it was given for them. */
export class FuseNodes {
  readonly #nodes = new Map<bigint, Node>();
  readonly #byInode = new Map<bigint, Node>();
  #lastId = rootId;

  constructor(root: string) {
    const fd = openSync(root, O_PATH | constants.O_DIRECTORY);
    this.#add({ id: rootId, fd, inode: fstatSync(fd, { bigint: true }).ino, lookups: 1n });
  }

  #add(node: Node): void {
    this.#nodes.set(node.id, node);
    this.#byInode.set(node.inode, node);
  }

  /** Counts a lookup, which {@linkcode FuseNodes.forget} takes back. */
  lookUp(parent: bigint, name: Buffer): { readonly id: bigint; readonly stat: BigIntStats } {
    const fd = openSync(this.childPath(parent, name), O_PATH | constants.O_NOFOLLOW);
    const stat = fstatSync(fd, { bigint: true });
    const known = this.#byInode.get(stat.ino);
    if (known !== undefined) {
      closeSync(fd);
      known.lookups += 1n;
      return { id: known.id, stat };
    }
    this.#lastId += 1n;
    this.#add({ id: this.#lastId, fd, inode: stat.ino, lookups: 1n });
    return { id: this.#lastId, stat };
  }

  forget(id: bigint, lookups: bigint): void {
    const node = this.#nodes.get(id);
    if (node === undefined || id === rootId) return;
    node.lookups -= lookups;
    if (node.lookups > 0n) return;
    this.#nodes.delete(id);
    this.#byInode.delete(node.inode);
    closeSync(node.fd);
  }

  fd(id: bigint): number {
    const node = this.#nodes.get(id);
    if (node === undefined) throw new TypeError(`The kernel names an unknown node ${id}`);
    return node.fd;
  }

  stat(id: bigint): BigIntStats {
    return fstatSync(this.fd(id), { bigint: true });
  }

  /** Leads to the file itself, also where it is a symbolic link. */
  path(id: bigint): string {
    return `/proc/self/fd/${this.fd(id)}`;
  }

  childPath(parent: bigint, name: Buffer): Buffer {
    return Buffer.concat([Buffer.from(`${this.path(parent)}/`), name]);
  }
}
