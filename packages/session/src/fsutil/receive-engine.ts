import { BuildError } from "@buildkit-ts/errdefs";
import { hasErrno } from "@buildkit-ts/sys";
import { FrameReader } from "../wire/grpc-frames.ts";
import { DirectoryCache } from "./directory-cache.ts";
import { type FileStat, hasContent, isDirectory, isSpecial, isSymlink } from "./file-stat.ts";
import { MetadataSelection, metadataFileName, metadataStat, type NumberedStat } from "./metadata-selection.ts";
import { decodePacket, PacketWriter } from "./packet.ts";
import { comparePaths, PathValidator } from "./path-order.ts";
import { type ReceivedDigest, ReceivedDigests } from "./received-digests.ts";
import { isSameFile, ReceivedTree, type ReceivingFile } from "./received-tree.ts";
import { TreeCursor } from "./tree-cursor.ts";

/** How a tree is received. Plain data, so that it can be handed to a worker. */
export interface ReceiveOptions {
  /** An existing directory, nobody else's meanwhile. */
  readonly destination: string;
  /**
   * The tree that is compared with and whose unchanged files get a second name in the destination, which must be
   * empty then. If there are no changes at all, the destination need not be complete: this tree is the result. Without
   * it, the destination itself is compared with and updated.
   */
  readonly previous?: string;
  /** `metadata` asks for files whose metadata changed; `none` for all. */
  readonly differ: "metadata" | "none";
  /** Adds to what is there: nothing is compared or deleted. */
  readonly merge: boolean;
  /** Whether to compute digests of what comes. */
  readonly digests?: boolean;
  /** Overrides the owner of all entries. */
  readonly owner?: { readonly uid: number; readonly gid: number };
  /** Receives only files that match one of these patterns, and of all others a list. */
  readonly onlyMatching?: readonly string[];
}

/** One difference between the tree before and after. */
export interface TreeChange {
  readonly kind: "add" | "modify" | "delete";
  readonly path: string;
}

/** What a sync did. */
export interface ReceiveResult {
  /** Bytes of all packets that came. */
  readonly bytes: number;
  readonly entries: number;
  readonly changes: readonly TreeChange[];
  /** Of all entries that are not in the tree before, if they were asked for and there are not too many. */
  readonly digests: readonly ReceivedDigest[] | undefined;
  /** Files that were listed without a size and had content: further names of others, made up as they are read, or grown. */
  readonly unlisted: readonly string[];
}

/** The sender uses up to four at once; a hostile one must not use up our descriptors. */
const maxOpenFiles = 64;
const maxEntries = 10_000_000;
/** Names and attributes of entries are kept in memory: as many as a tree of several million files has. */
const maxListBytes = 1 << 30;
const maxUnlisted = 65_536;
/** What is kept in memory of a tree that has not changed so far. */
const maxPostponed = 65_536;

/**
 * The receiving side of file sync as a state machine: bytes in, bytes out, a tree on disk. Synchronous, for a worker.
 *
 *     STAT… (REQ out) ─▶ empty STAT ─▶ DATA… ─▶ links, times (FIN out) ─▶ FIN
 */
export class ReceiveEngine implements Disposable {
  readonly #options: ReceiveOptions;
  readonly #tree: ReceivedTree;
  readonly #old: DirectoryCache | undefined;
  readonly #cursor: TreeCursor | undefined;
  readonly #validator = new PathValidator();
  readonly #reader = new FrameReader((message) => this.#onMessage(message));
  readonly #output = new PacketWriter();
  readonly #requested = new Map<number, FileStat>();
  readonly #receiving = new Map<number, ReceivingFile>();
  readonly #links: FileStat[] = [];
  readonly #parents: FileStat[] = [];
  readonly #digests: ReceivedDigests | undefined;
  readonly #selection: MetadataSelection | undefined;
  readonly #changes: TreeChange[] = [];
  /** Until the first change: most syncs have none, and linking their files would be in vain. */
  #postponed: NumberedStat[] | undefined;
  readonly #unlisted: string[] = [];
  #entries = 0;
  #listBytes = 0;
  #bytes = 0;
  #state: "stats" | "data" | "finishing" | "done" = "stats";

  constructor(options: ReceiveOptions) {
    this.#options = options;
    this.#tree = new ReceivedTree(options.destination, { keepsOldUntilComplete: options.merge });
    this.#selection = options.onlyMatching === undefined ? undefined : new MetadataSelection(options.onlyMatching);
    this.#digests = options.digests === true ? new ReceivedDigests() : undefined;
    if (options.merge) return;
    this.#old = options.previous === undefined ? undefined : new DirectoryCache(options.previous);
    this.#postponed = options.previous === undefined ? undefined : [];
    this.#cursor = new TreeCursor(this.#old ?? this.#tree.directories);
  }

  /** Bytes of all packets that came so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether the sender has confirmed the end. */
  get isDone(): boolean {
    return this.#state === "done";
  }

  get result(): ReceiveResult {
    const digests = this.#digests?.entries;
    const { length } = this.#unlisted;
    const unlisted = length > maxUnlisted ? [] : this.#unlisted;
    return { bytes: this.#bytes, entries: this.#entries, changes: this.#changes, digests, unlisted };
  }

  /** Takes bytes of the gRPC stream and gives those to be sent, possibly none. */
  push(chunk: Buffer): Buffer {
    this.#reader.push(chunk);
    return this.#output.take();
  }

  #onMessage(message: Buffer): void {
    this.#bytes += message.length;
    const packet = decodePacket(message);
    switch (packet.type) {
      case "stat":
        if (this.#state !== "stats") throw protocolError("a file after the end of the list");
        this.#listBytes += message.length;
        if (packet.stat === undefined) this.#endStats();
        else this.#onStat(packet.stat);
        return;
      case "data":
        this.#onData(packet.id, packet.data);
        return;
      case "error":
        throw new BuildError("unknown", `error from sender: ${packet.message}`);
      case "fin":
        if (this.#state !== "finishing") throw protocolError("an end before its time");
        this.#state = "done";
        return;
      case "request":
        throw protocolError("a request to the receiver");
      default:
        packet satisfies never;
    }
  }

  #onStat(stat: FileStat): void {
    const id = this.#entries;
    this.#entries += 1;
    if (this.#entries > maxEntries || this.#listBytes > maxListBytes)
      throw new BuildError("resource_exhausted", "Cannot receive files: too many entries");
    checkNumbers(stat);
    const directory = isDirectory(stat);
    const symlink = isSymlink(stat);
    const hardLink = !directory && !symlink && stat.linkName !== "" ? stat.linkName : undefined;
    this.#validator.check({ path: stat.path, isDirectory: directory, isSymlink: symlink, hardLink });
    for (const entry of this.#selection?.take(stat, id) ?? [{ stat, id }]) this.#receive(entry);
  }

  #receive({ stat, id }: NumberedStat): void {
    if (this.#options.owner !== undefined) {
      stat.uid = this.#options.owner.uid;
      stat.gid = this.#options.owner.gid;
    }
    const old = this.#match(stat.path);
    this.#enter(stat);
    if (old !== undefined && this.#options.differ === "metadata" && isSameFile(old, stat)) {
      this.#cursor?.next();
      if (this.#postpone({ stat, id }) || this.#keep(stat)) return;
    } else {
      this.#change(old === undefined ? "add" : "modify", stat.path);
    }
    this.#touchParent(stat.path);
    this.#replace(stat, old);
    this.#create(stat, id);
  }

  /** Keeps track of the directories that the current entry is in. */
  #enter(stat: FileStat): void {
    for (let last = this.#parents.at(-1); last !== undefined; last = this.#parents.at(-1)) {
      if (stat.path.startsWith(`${last.path}/`)) break;
      this.#parents.pop();
    }
    if (isDirectory(stat)) this.#parents.push(stat);
  }

  /** The content of the path's directory changes, and with it the directory's time. */
  #touchParent(path: string): void {
    const slash = path.lastIndexOf("/");
    if (slash < 0) return;
    const parent = path.slice(0, slash);
    const directory = this.#parents.findLast((candidate) => candidate.path === parent);
    if (directory !== undefined) this.#tree.touchDirectory(directory);
  }

  /** Deletes what the sender no longer has before this path; gives the old entry of the same path. */
  #match(path: string): FileStat | undefined {
    const cursor = this.#cursor;
    if (cursor === undefined) return undefined;
    while (cursor.current !== undefined) {
      if (this.#skipMetadataFile(cursor)) continue;
      const order = comparePaths(cursor.current.path, path);
      if (order > 0) return undefined;
      if (order === 0) {
        const old = cursor.current;
        return old;
      }
      this.#deleteCurrent(cursor);
    }
    return undefined;
  }

  /** The list of the tree before is ours, not the sender's. */
  #skipMetadataFile(cursor: TreeCursor): boolean {
    if (this.#selection === undefined || cursor.current?.path !== metadataFileName) return false;
    cursor.skip();
    return true;
  }

  #writeMetadataFile(): void {
    if (this.#selection === undefined) return;
    const bytes = this.#selection.list;
    const old = this.#old?.readFile(metadataFileName);
    if (old?.equals(bytes) !== true) this.#change(old === undefined ? "add" : "modify", metadataFileName);
    // While nothing has changed, the tree before is the result.
    if (this.#postponed !== undefined) return;
    this.#tree.remove(metadataFileName);
    const file = this.#tree.beginFile(metadataStat(bytes.length));
    this.#tree.write(file, bytes);
    this.#tree.finishFile(file);
  }

  #deleteCurrent(cursor: TreeCursor): void {
    const path = cursor.current?.path ?? "";
    this.#change("delete", path);
    if (this.#old === undefined) {
      this.#touchParent(path);
      this.#tree.remove(path);
    }
    cursor.skip();
  }

  #change(kind: TreeChange["kind"], path: string): void {
    this.#catchUp();
    this.#changes.push({ kind, path });
  }

  #postpone(entry: NumberedStat): boolean {
    if (this.#postponed === undefined) return false;
    if (this.#postponed.length < maxPostponed) {
      this.#postponed.push(entry);
      return true;
    }
    this.#catchUp();
    return false;
  }

  /** Does what was postponed; from here on nothing is. */
  #catchUp(): void {
    const postponed = this.#postponed ?? [];
    this.#postponed = undefined;
    for (const { stat, id } of postponed) {
      if (!this.#keep(stat)) this.#create(stat, id);
    }
  }

  /** Takes an unchanged entry over; false if it has to be made anew. */
  #keep(stat: FileStat): boolean {
    if (this.#old === undefined) return true;
    if (isDirectory(stat)) {
      this.#tree.createDirectory(stat);
      return true;
    }
    if (!isSymlink(stat) && stat.linkName !== "") {
      this.#links.push(stat);
      this.#digests?.add(stat);
      return true;
    }
    try {
      this.#tree.adopt(this.#old, stat.path);
      return true;
    } catch (error) {
      if (!hasErrno(error, "EMLINK", "EXDEV", "EPERM")) throw error;
      return false;
    }
  }

  /** Makes room for a new entry and moves the cursor past the old one. */
  #replace(stat: FileStat, old: FileStat | undefined): void {
    const cursor = this.#cursor;
    if (cursor === undefined) {
      const found = this.#tree.isDirectoryOnDisk(stat.path);
      // A regular file is replaced when its bytes are there.
      if (found !== undefined && !(found && isDirectory(stat)) && !(hasContent(stat) && stat.linkName === "")) {
        this.#tree.remove(stat.path);
      }
      return;
    }
    if (old === undefined || cursor.current !== old) return;
    const bothDirectories = isDirectory(old) && isDirectory(stat);
    if (this.#old === undefined && !bothDirectories) this.#tree.remove(stat.path);
    if (bothDirectories) cursor.next();
    else cursor.skip();
  }

  #create(stat: FileStat, id: number): void {
    if (!hasContent(stat) || stat.linkName !== "") this.#digests?.add(stat);
    if (isDirectory(stat)) {
      if (this.#tree.isDirectoryOnDisk(stat.path) === true) this.#tree.updateDirectory(stat);
      else this.#tree.createDirectory(stat);
    } else if (isSpecial(stat)) {
      this.#tree.createSpecial(stat);
    } else if (isSymlink(stat)) {
      this.#tree.createSymlink(stat);
    } else if (stat.linkName !== "") {
      // The file it names may not be there yet.
      this.#links.push(stat);
    } else {
      if (!hasContent(stat)) throw protocolError(`a file of unknown type ${stat.mode.toString(8)}`);
      this.#requested.set(id, stat);
      this.#output.request(id);
    }
  }

  #onData(id: number, data: Buffer): void {
    let file = this.#receiving.get(id);
    if (file === undefined) {
      const stat = this.#requested.get(id);
      if (stat === undefined) throw protocolError(`data of file ${id}, which was not asked for`);
      if (this.#receiving.size >= maxOpenFiles) throw protocolError("too many files at once");
      file = this.#tree.beginFile(stat);
      this.#receiving.set(id, file);
      this.#requested.delete(id);
      this.#digests?.beginFile(id, stat);
    }
    if (data.length > 0) {
      file.receivedBytes += data.length;
      // No size is announced for further names of a file, nor by file systems that make content up as it is read.
      if (file.stat.size > 0 && file.receivedBytes > file.stat.size) throw changed(file);
      this.#tree.write(file, data);
      this.#digests?.update(id, data);
      return;
    }
    if (file.stat.size > 0 && file.receivedBytes !== file.stat.size) throw changed(file);
    if (file.stat.size === 0 && file.receivedBytes > 0 && this.#unlisted.length <= maxUnlisted)
      this.#unlisted.push(file.stat.path);
    this.#receiving.delete(id);
    this.#tree.finishFile(file);
    this.#digests?.finishFile(id, file.stat);
    this.#finishIfComplete();
  }

  #endStats(): void {
    const cursor = this.#cursor;
    while (cursor?.current !== undefined) {
      if (!this.#skipMetadataFile(cursor)) this.#deleteCurrent(cursor);
    }
    this.#writeMetadataFile();
    this.#state = "data";
    this.#finishIfComplete();
  }

  #finishIfComplete(): void {
    if (this.#state !== "data" || this.#requested.size > 0 || this.#receiving.size > 0) return;
    for (const link of this.#links) this.#tree.link(link);
    this.#tree.finish();
    this.#output.fin();
    this.#state = "finishing";
  }

  [Symbol.dispose](): void {
    for (const file of this.#receiving.values()) this.#tree.abandonFile(file);
    this.#receiving.clear();
    this.#old?.[Symbol.dispose]();
    this.#tree[Symbol.dispose]();
  }
}

/** BuildKit's clients send what they got, down to nothing of a file that they cannot open. */
function changed({ stat, receivedBytes }: ReceivingFile): BuildError {
  const came = receivedBytes > stat.size ? "more came" : `${receivedBytes} came`;
  return new BuildError(
    "failed_precondition",
    `Cannot receive file ${JSON.stringify(stat.path)}: it was listed with ${stat.size} bytes and ${came}`,
    { hint: "It changed while the tree was read, or the client cannot read it" },
  );
}

function checkNumbers({ path, size, devMajor, devMinor }: FileStat): void {
  if (!Number.isSafeInteger(size) || size < 0) throw protocolError(`a size of ${size} for ${JSON.stringify(path)}`);
  for (const device of [devMajor, devMinor]) {
    if (device < 0 || device > 0xffff_ffff) throw protocolError(`a device ${device} for ${JSON.stringify(path)}`);
  }
}

function protocolError(what: string): BuildError {
  return new BuildError("invalid_argument", `Cannot receive files: the sender sent ${what}`);
}
