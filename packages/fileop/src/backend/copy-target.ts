import { closeSync } from "node:fs";
import { BuildError } from "@buildkit-ts/errdefs";
import {
  type At,
  type FilePath,
  type FileStat,
  findLstatAt,
  joinPath,
  mkdirAt,
  openDirectoryAt,
  removeTreeAt,
  statOf,
} from "@buildkit-ts/sys";
import { copyUpDirectory } from "./copy-up-directory.ts";

/** A directory that is copied into. It is made, with the parents it lacks, when something needs it. */
export class CopyTarget implements Disposable {
  /** In the tree that is copied into. */
  readonly path: FilePath;
  readonly #parent: CopyTarget | undefined;
  readonly #name: FilePath;
  readonly #mayReplace: boolean;
  #fd: number | undefined;
  #below: number | undefined;
  #wasMade = false;

  private constructor(
    path: FilePath,
    options: { parent?: CopyTarget; name: FilePath; mayReplace: boolean; fd?: number; below?: number | undefined },
  ) {
    this.path = path;
    this.#parent = options.parent;
    this.#name = options.name;
    this.#mayReplace = options.mayReplace;
    this.#fd = options.fd;
    this.#below = options.below;
  }

  /** One that is there; its descriptors stay the caller's. @param from With `below`, as the layers below have it. */
  static existing(from: { readonly fd: number; readonly below?: number }, path: FilePath): CopyTarget {
    return new CopyTarget(path, { name: ".", mayReplace: false, ...from });
  }

  /** @param options With `mayReplace`, what is no directory gives way to one. */
  child(name: FilePath, options: { readonly mayReplace: boolean }): CopyTarget {
    const path = name === "." ? this.path : joinPath(this.path === "/" ? "" : this.path, name);
    return new CopyTarget(path, { parent: this, name, mayReplace: options.mayReplace });
  }

  /** Made by this copy: nothing is in it that the copy has not put there. */
  get wasMade(): boolean {
    return this.#wasMade;
  }

  get isOpen(): boolean {
    return this.#fd !== undefined;
  }

  /** Its name in its parent. */
  get at(): At {
    return { fd: this.#parent?.open() ?? this.open(), path: this.#name };
  }

  stat(): FileStat {
    return statOf(this.open());
  }

  /** What the layers below show under a name in it, as far as the layer itself has nothing there. */
  findBelow(name: FilePath): FileStat | undefined {
    return this.#below === undefined ? undefined : findLstatAt({ fd: this.#below, path: name });
  }

  open(): number {
    if (this.#fd === undefined) {
      const { at } = this;
      if (this.#needsMaking(at)) {
        mkdirAt(at, 0o700);
        this.#wasMade = true;
      }
      this.#fd = openDirectoryAt(at);
      if (!this.#wasMade && this.#parent !== undefined) this.#below = this.#parent.#openBelow(this.#name);
    }
    return this.#fd;
  }

  #openBelow(name: FilePath): number | undefined {
    if (this.#below === undefined || this.findBelow(name)?.isDirectory() !== true) return undefined;
    return openDirectoryAt({ fd: this.#below, path: name });
  }

  #needsMaking(at: At): boolean {
    const parent = this.#parent;
    const own = parent?.wasMade === true ? undefined : findLstatAt(at);
    const existing = own ?? parent?.findBelow(this.#name);
    if (existing === undefined) return true;
    if (own === undefined && parent !== undefined && existing.isDirectory()) parent.#copyUp(this.#name, at);
    if (existing.isDirectory()) return false;
    if (!this.#mayReplace) {
      const path = this.path.toString().replace(/^\/*/, "/");
      throw new BuildError("failed_precondition", `cannot copy to non-directory: ${path}`);
    }
    removeTreeAt(at);
    return true;
  }

  #copyUp(name: FilePath, to: At): void {
    if (this.#below !== undefined) copyUpDirectory({ fd: this.#below, path: name }, to);
  }

  [Symbol.dispose](): void {
    if (this.#parent === undefined || this.#fd === undefined) return;
    closeSync(this.#fd);
    if (this.#below !== undefined) closeSync(this.#below);
    this.#fd = undefined;
    this.#below = undefined;
  }
}
