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

/** A directory that is copied into. It is made, with the parents it lacks, when something needs it. */
export class CopyTarget implements Disposable {
  /** In the tree that is copied into. */
  readonly path: FilePath;
  readonly #parent: CopyTarget | undefined;
  readonly #name: FilePath;
  readonly #mayReplace: boolean;
  #fd: number | undefined;
  #wasMade = false;

  private constructor(
    path: FilePath,
    options: { parent?: CopyTarget; name: FilePath; mayReplace: boolean; fd?: number },
  ) {
    this.path = path;
    this.#parent = options.parent;
    this.#name = options.name;
    this.#mayReplace = options.mayReplace;
    this.#fd = options.fd;
  }

  /** One that is there; its descriptor stays the caller's. */
  static existing(fd: number, path: FilePath): CopyTarget {
    return new CopyTarget(path, { name: ".", mayReplace: false, fd });
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

  open(): number {
    if (this.#fd === undefined) {
      const { at } = this;
      if (this.#needsMaking(at)) {
        mkdirAt(at, 0o700);
        this.#wasMade = true;
      }
      this.#fd = openDirectoryAt(at);
    }
    return this.#fd;
  }

  #needsMaking(at: At): boolean {
    const existing = this.#parent?.wasMade === true ? undefined : findLstatAt(at);
    if (existing === undefined) return true;
    if (existing.isDirectory()) return false;
    if (!this.#mayReplace) {
      const path = this.path.toString().replace(/^\/*/, "/");
      throw new BuildError("failed_precondition", `cannot copy to non-directory: ${path}`);
    }
    removeTreeAt(at);
    return true;
  }

  [Symbol.dispose](): void {
    if (this.#parent === undefined || this.#fd === undefined) return;
    closeSync(this.#fd);
    this.#fd = undefined;
  }
}
