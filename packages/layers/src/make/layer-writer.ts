import {
  type FileStat,
  type RootedDirectory,
  readlinkAt,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from "@buildkit-ts/sys";
import { encodeTarHeader, type TarEntryType, type TarHeader, tarEnd, whiteoutPrefix } from "@buildkit-ts/tar";
import { isLinked } from "./double-walk.ts";
import type { LayerOutput, WrittenLayer } from "./layer-output.ts";
import { capabilityAttribute, findCapability, openContent } from "./same-file.ts";
import { type ChangedFile, nameBytes, nameText, type TreeChange } from "./tree-change.ts";

const types: ReadonlyMap<number, TarEntryType> = new Map([
  [S_IFREG, "file"],
  [S_IFDIR, "directory"],
  [S_IFLNK, "symlink"],
  [S_IFCHR, "character"],
  [S_IFBLK, "block"],
  [S_IFIFO, "fifo"],
]);

/**
 * Turns changes into the entries that containerd's `archive.ChangeWriter` writes, byte for byte, since the DiffID of a
 * layer depends on them: whiteouts with time 0, parents before the first change in them, later names of a file as hard
 * links, no sockets, no names of owners, no attributes but capabilities, times in whole seconds.
 */
export class LayerWriter {
  readonly #source: RootedDirectory;
  readonly #output: LayerOutput;
  readonly #latestSeconds: number;
  readonly #linkSources = new Map<string, string>();
  readonly #unmodifiedLinks = new Map<string, string[]>();
  readonly #writtenDirectories = new Set<string>();

  /** @param options.latestSeconds Later times are written as this one. */
  constructor(options: {
    readonly source: RootedDirectory;
    readonly output: LayerOutput;
    readonly latestSeconds?: number;
  }) {
    this.#source = options.source;
    this.#output = options.output;
    this.#latestSeconds = options.latestSeconds ?? Number.POSITIVE_INFINITY;
  }

  async add(change: TreeChange): Promise<void> {
    if (change.kind === "deleted") await this.#addWhiteout(change.path);
    else await this.#addFile(change, change.kind === "unmodified");
  }

  async finish(): Promise<WrittenLayer> {
    await this.#output.append(tarEnd);
    return await this.#output.finish();
  }

  async #addWhiteout(path: string): Promise<void> {
    const slash = path.lastIndexOf("/");
    const name = `${path.slice(0, slash + 1)}${whiteoutPrefix}${path.slice(slash + 1)}`;
    await this.#addEntry({ name, type: "file", mode: 0, uid: 0, gid: 0, size: 0, mtimeSeconds: 0 });
  }

  async #addFile(file: ChangedFile, unmodified: boolean): Promise<void> {
    const header = this.#headerOf(file);
    if (header === undefined) return;
    const { stat } = file;
    if (!isLinked(stat)) {
      if (!unmodified) await this.#addContent(file, header);
      return;
    }
    const inode = `${stat.device.major}:${stat.device.minor}:${stat.inode}`;
    const source = this.#linkSources.get(inode);
    if (source !== undefined) return await this.#addEntry(asLink(header, source));
    if (unmodified) {
      // Written as a link as soon as another name of the file is: a layer can only link to its own entries.
      this.#unmodifiedLinks.set(inode, [...(this.#unmodifiedLinks.get(inode) ?? []), header.name]);
      return;
    }
    this.#linkSources.set(inode, header.name);
    await this.#addContent(file, header);
    for (const name of this.#unmodifiedLinks.get(inode) ?? [])
      await this.#addEntry(asLink({ ...header, name }, header.name));
    this.#unmodifiedLinks.delete(inode);
  }

  async #addContent(file: ChangedFile, header: TarHeader): Promise<void> {
    await this.#addEntry(header);
    if (header.size === 0) return;
    using content = openContent(file.at);
    await this.#output.appendFile({ fd: content.fd, size: header.size, name: file.path });
  }

  async #addEntry(header: TarHeader): Promise<void> {
    await this.#addParents(header);
    const waiting = this.#output.append(encodeTarHeader(header));
    if (waiting !== undefined) await waiting;
  }

  async #addParents(header: TarHeader): Promise<void> {
    const path = header.name.endsWith("/") ? header.name.slice(0, -1) : header.name;
    const parent = path.slice(0, Math.max(0, path.lastIndexOf("/")));
    if (header.type === "directory") this.#writtenDirectories.add(path);
    if (parent === "" || this.#writtenDirectories.has(parent)) return;
    this.#writtenDirectories.add(parent);
    const stat = this.#source.stat(nameBytes(parent));
    await this.#addFile({ path: parent, at: { fd: this.#source.fd, path: nameBytes(parent) }, stat }, false);
  }

  /** Undefined for sockets, which no archive can hold. */
  #headerOf({ path, at, stat }: ChangedFile): TarHeader | undefined {
    const type = types.get(stat.mode & S_IFMT);
    if (type === undefined) return undefined;
    const capability = type === "file" || type === "directory" ? findCapability(at) : undefined;
    return {
      name: type === "directory" ? `${path}/` : path,
      type,
      mode: stat.mode & 0o7777,
      uid: stat.uid,
      gid: stat.gid,
      size: type === "file" ? stat.sizeBytes : 0,
      mtimeSeconds: Math.min(wholeSeconds(stat), this.#latestSeconds),
      ...(type === "symlink" && { linkName: nameText(readlinkAt(at)) }),
      ...((type === "character" || type === "block") && {
        deviceMajor: stat.specialDevice.major,
        deviceMinor: stat.specialDevice.minor,
      }),
      ...(capability !== undefined &&
        capability.length > 0 && { xattrs: new Map([[capabilityAttribute, capability]]) }),
    };
  }
}

function asLink(header: TarHeader, source: string): TarHeader {
  return { ...header, type: "hardlink", linkName: source, size: 0 };
}

/** Rounded down, also before the epoch. */
function wholeSeconds(stat: FileStat): number {
  const second = 1_000_000_000n;
  const rest = ((stat.modificationNs % second) + second) % second;
  return Number((stat.modificationNs - rest) / second);
}
