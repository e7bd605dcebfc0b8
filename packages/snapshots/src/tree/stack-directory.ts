import { closeSync } from "node:fs";
import {
  AT_FDCWD,
  type At,
  type FilePath,
  type FileStat,
  findLstatAt,
  findXattr,
  joinPath,
  lstatAt,
  openDirectoryAt,
  pathOfAt,
  readNames,
} from "@buildkit-ts/sys";

/** A name in a directory, and what it is. */
export type Entry = At & { readonly stat: FileStat };

/** How a tree is kept: as it is, or as layers that mark what they hide of those below. */
export type TreeForm = { readonly kind: "plain" } | { readonly kind: "layers"; readonly opaqueXattr: string };

/** How fuse-overlayfs marks a directory that hides what is below it, beside the attribute. Layers name it so, too. */
const opaqueFile = ".wh..wh..opq";

/**
 * One directory as a stack of layers shows it, read without mounting anything: of each name the highest layer's entry counts,
 * unless a whiteout or an opaque directory hides it. The layers must not change meanwhile.
 */
export class StackDirectory implements Disposable {
  readonly #form: TreeForm;
  /** Those that have this directory, the highest first. */
  readonly #fds: number[];

  private constructor(form: TreeForm, fds: number[]) {
    this.#form = form;
    this.#fds = fds;
  }

  /** @param layers Directories, the highest first; none is an empty tree. */
  static open(layers: readonly string[], form: TreeForm): StackDirectory {
    using made = new StackDirectory(form, []);
    for (const path of layers) made.#fds.push(openDirectoryAt({ fd: AT_FDCWD, path }));
    return new StackDirectory(form, made.#fds.splice(0));
  }

  /** A directory without anything, such as what an opaque one lets be seen of the layers below it. */
  static empty(form: TreeForm): StackDirectory {
    return new StackDirectory(form, []);
  }

  find(name: FilePath): Entry | undefined {
    for (const fd of this.#fds) {
      const stat = findLstatAt({ fd, path: name });
      if (stat !== undefined) return this.#isWhiteout(stat) ? undefined : { fd, path: name, stat };
    }
    return undefined;
  }

  /** All that the layers hold themselves, marks included; a name of several layers is there several times. */
  entries(): Entry[] {
    return this.#fds.flatMap((fd) => this.#namesOf(fd).map((path) => ({ fd, path, stat: lstatAt({ fd, path }) })));
  }

  names(): FilePath[] {
    const seen = new Set<string>();
    return this.#fds
      .flatMap((fd) => this.#namesOf(fd))
      .filter((name) => {
        const key = nameKey(name);
        if (seen.has(key)) return false;
        seen.add(key);
        return this.find(name) !== undefined;
      });
  }

  /** What is seen as a directory of that name; empty where there is none. To be disposed by the caller. */
  child(name: FilePath): StackDirectory {
    using made = new StackDirectory(this.#form, []);
    for (const fd of this.#fds) {
      const stat = findLstatAt({ fd, path: name });
      if (stat === undefined) continue;
      if (!stat.isDirectory()) break;
      made.#fds.push(openDirectoryAt({ fd, path: name }));
      if (isOpaque({ fd, path: name }, this.#form)) break;
    }
    return new StackDirectory(this.#form, made.#fds.splice(0));
  }

  #namesOf(fd: number): FilePath[] {
    const names = readNames(fd);
    return this.#form.kind === "layers" ? names.filter((name) => name !== opaqueFile) : names;
  }

  get isEmpty(): boolean {
    return this.#fds.length === 0;
  }

  #isWhiteout(stat: FileStat): boolean {
    return this.#form.kind === "layers" && stat.isWhiteout();
  }

  [Symbol.dispose](): void {
    for (const fd of this.#fds.splice(0)) closeSync(fd);
  }
}

/** Whether a directory of a layer hides what the layers below have in it. */
export function isOpaque(directory: At, form: TreeForm): boolean {
  if (form.kind !== "layers") return false;
  if (findXattr(pathOfAt(directory), form.opaqueXattr)?.toString() === "y") return true;
  return findLstatAt({ fd: directory.fd, path: joinPath(directory.path, opaqueFile) }) !== undefined;
}

/** A name as a key: names that are no text have one of their own. */
export function nameKey(name: FilePath): string {
  return typeof name === "string" ? name : `\0${name.toString("latin1")}`;
}

/** Attributes of overlay itself, which describe a place in one stack of layers. */
export function isOverlayXattr(name: string): boolean {
  return /^(trusted\.overlay|user\.overlay|user\.fuseoverlayfs)\./.test(name);
}
