import { constants, ftruncateSync, readFileSync, writeSync } from "node:fs";
import { BuildError } from "@buildkit-ts/errdefs";
import {
  type At,
  findLstatAt,
  hasErrno,
  linkAt,
  lstatAt,
  mkdirAt,
  mknodAt,
  OpenFile,
  openAt,
  removeTreeAt,
  S_IFBLK,
  S_IFCHR,
  S_IFIFO,
  symlinkAt,
  utimesAt,
} from "@buildkit-ts/sys";
import { parseWhiteout, splitTarName, type TarHeader, type TarVisitor } from "@buildkit-ts/tar";
import { nameBytes } from "../make/tree-change.ts";
import { setFileAttributes, setNameAttributes, timesOf } from "./entry-attributes.ts";
import type { TargetDirectory, TargetTree } from "./target-tree.ts";
import { mergedForm, overlayForm, type WhiteoutForm } from "./whiteouts.ts";

/** Puts the entries of a layer into a tree. Owner, attributes, mode and times come after the content, directories' times at last. */
export class LayerUnpacker implements TarVisitor, Disposable {
  readonly #tree: TargetTree;
  readonly #form: WhiteoutForm;
  readonly #checkAborted: () => void;
  readonly #onEntry: () => void;
  readonly #onHole: (length: number) => void;
  readonly #directories: { readonly parts: readonly string[]; readonly header: TarHeader }[] = [];
  /** `directory id/name` of what this layer brought: an opaque mark may come after it and must spare it. */
  readonly #unpacked = new Set<string>();
  #file: { readonly open: OpenFile; readonly header: TarHeader; position: number } | undefined;
  #canMakeDevices: boolean | undefined;

  constructor(options: {
    readonly tree: TargetTree;
    readonly form: "overlay-upper" | "merged";
    readonly checkAborted: () => void;
    /** Called before each entry; throws to stop. */
    readonly onEntry: () => void;
    /** Called before zeros that the layer does not hold; throws to stop. */
    readonly onHole: (length: number) => void;
  }) {
    this.#tree = options.tree;
    this.#form = options.form === "merged" ? mergedForm : overlayForm;
    this.#checkAborted = options.checkAborted;
    this.#onEntry = options.onEntry;
    this.#onHole = options.onHole;
  }

  entry(header: TarHeader): void {
    this.#onEntry();
    const parts = splitTarName(header.name);
    const base = parts.at(-1);
    // The root itself belongs to whoever made the target.
    if (base === undefined) return;
    explain(header.name, () => {
      const whiteout = parseWhiteout(base);
      if (whiteout === undefined) this.#unpack(parts, header);
      else if (whiteout.kind === "opaque") this.#makeOpaque(parts.slice(0, -1));
      else this.#delete(parts.slice(0, -1), whiteout.name);
    });
  }

  data(chunk: Uint8Array): void {
    const file = this.#file;
    if (file === undefined) return;
    this.#checkAborted();
    explain(file.header.name, () => {
      for (let at = 0; at < chunk.length; )
        at += writeSync(file.open.fd, chunk, at, chunk.length - at, file.position + at);
      file.position += chunk.length;
    });
  }

  hole(length: number): void {
    const file = this.#file;
    if (file === undefined) return;
    this.#onHole(length);
    explain(file.header.name, () => ftruncateSync(file.open.fd, file.position + length));
    file.position += length;
  }

  end(): void {
    if (this.#file === undefined) return;
    using file = this.#file.open;
    const { header } = this.#file;
    this.#file = undefined;
    explain(header.name, () => setFileAttributes(file.fd, header));
  }

  /** Sets the times of directories, which every entry in them has changed. */
  finish(): void {
    for (const { parts, header } of this.#directories) {
      this.#checkAborted();
      explain(header.name, () => {
        const { at } = this.#tree.locate(parts);
        // It may have been deleted or replaced by a later entry.
        if (findLstatAt(at)?.isDirectory() === true) utimesAt(at, timesOf(header));
      });
    }
  }

  [Symbol.dispose](): void {
    this.#file?.open[Symbol.dispose]();
    this.#file = undefined;
  }

  #unpack(parts: readonly string[], header: TarHeader): void {
    const { directory, at } = this.#tree.locate(parts);
    switch (header.type) {
      case "file":
        this.#file = { open: this.#createFile(at), header, position: 0 };
        break;
      case "directory":
        this.#makeDirectory(at);
        this.#tree.implied.delete(parts.join("/"));
        setNameAttributes(at, header, { isLink: false });
        this.#directories.push({ parts, header });
        break;
      case "symlink":
        this.#make(at, () => symlinkAt(nameBytes(header.linkName ?? ""), at));
        setNameAttributes(at, header, { isLink: true });
        break;
      case "hardlink":
        this.#link(parts, header);
        break;
      case "character":
      case "block":
      case "fifo":
        if (!this.#makeNode(at, header)) return;
        setNameAttributes(at, header, { isLink: false });
        break;
      default:
        header.type satisfies never;
    }
    this.#unpacked.add(`${directory.id}/${parts.at(-1) ?? ""}`);
  }

  #createFile(at: At): OpenFile {
    const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
    return new OpenFile(this.#make(at, () => openAt(at, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)));
  }

  /** Makes a name; what stands there gives way. */
  #make<T>(at: At, make: () => T): T {
    try {
      return make();
    } catch (error) {
      if (!hasErrno(error, "EEXIST")) throw error;
      this.#remove(at);
      return make();
    }
  }

  #remove(at: At): void {
    // What was removed may have been a directory on the way to others, or a symbolic link to one.
    if (removeTreeAt(at)) this.#tree.forget();
  }

  #makeDirectory(at: At): void {
    try {
      mkdirAt(at, 0o700);
    } catch (error) {
      if (!hasErrno(error, "EEXIST")) throw error;
      const existing = lstatAt(at);
      if (existing.isDirectory()) return;
      this.#remove(at);
      mkdirAt(at, 0o700);
      this.#form.directoryMade(at, existing.isWhiteout() ? "whiteout" : "file");
    }
  }

  #link(parts: readonly string[], header: TarHeader): void {
    const targetParts = splitTarName(header.linkName ?? "");
    if (targetParts.length === 0) throw new BuildError("invalid_argument", "a hard link names no file");
    // Both directories are looked up before either descriptor is used: the second lookup may close the first.
    this.#tree.locate(targetParts);
    const { at } = this.#tree.locate(parts);
    const target = this.#tree.locate(targetParts).at;
    const stat = lstatAt(target);
    if (stat.isDirectory()) throw new BuildError("invalid_argument", "a hard link names a directory");
    const own = findLstatAt(at);
    if (own?.inode !== stat.inode) this.#make(at, () => linkAt(target, at));
    setNameAttributes(at, header, { isLink: stat.isSymbolicLink() });
  }

  #makeNode(at: At, header: TarHeader): boolean {
    const type = header.type === "fifo" ? S_IFIFO : header.type === "block" ? S_IFBLK : S_IFCHR;
    const device = { major: header.deviceMajor ?? 0, minor: header.deviceMinor ?? 0 };
    try {
      this.#make(at, () => mknodAt(at, type | 0o600, device));
      return true;
    } catch (error) {
      // In a user namespace no devices can be made, and containers get theirs from the runtime.
      if (type === S_IFIFO || !hasErrno(error, "EPERM") || this.#hasAllUsers()) throw error;
      return false;
    }
  }

  #hasAllUsers(): boolean {
    this.#canMakeDevices ??= /^\s*0\s+0\s+4294967295\s*$/.test(readFileSync("/proc/self/uid_map", "utf8"));
    return this.#canMakeDevices;
  }

  #makeOpaque(parts: readonly string[]): void {
    // A mark for the whole layer has no directory above it to be looked up in.
    const directory: TargetDirectory = this.#tree.directory(parts);
    const at = { fd: directory.fd, path: "." };
    const removed = this.#form.makeOpaque(at, directory, (id, name) => this.#unpacked.has(`${id}/${name}`));
    if (removed) this.#tree.forget();
  }

  #delete(parts: readonly string[], name: string): void {
    // Marks of aufs itself mean nothing here.
    if (name.startsWith(".wh.")) return;
    if (name === "" || name === "." || name === "..") throw new BuildError("invalid_argument", "invalid whiteout name");
    const directory = this.#tree.directory(parts);
    const at = { fd: directory.fd, path: nameBytes(name) };
    if (this.#form.delete(at, this.#unpacked.has(`${directory.id}/${name}`))) this.#tree.forget();
  }
}

function explain(name: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof Error) || error.name === "AbortError") throw error;
    const full = hasErrno(error, "ENOSPC", "EDQUOT", "EFBIG");
    const hostile = hasErrno(
      error,
      "ENOTDIR",
      "ELOOP",
      "ENAMETOOLONG",
      "ENOENT",
      "EISDIR",
      "EEXIST",
      "EINVAL",
      "EXDEV",
    );
    const code =
      error instanceof BuildError
        ? error.code
        : full
          ? "resource_exhausted"
          : hostile
            ? "invalid_argument"
            : "internal";
    throw new BuildError(code, `Cannot unpack layer entry "${name.slice(0, 300).toWellFormed()}": ${error.message}`, {
      cause: error,
    });
  }
}
