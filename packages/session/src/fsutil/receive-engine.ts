import { BuildError } from "@buildkit-ts/errdefs";
import { FrameReader } from "../wire/grpc-frames.ts";
import { ContentWeights, type ExpectedContent } from "./content-weights.ts";
import { DirectoryCache } from "./directory-cache.ts";
import { DirectoryXattrs } from "./directory-xattrs.ts";
import { type FileStat, isDirectory, isSymlink } from "./file-stat.ts";
import { IncomingFiles } from "./incoming-files.ts";
import { MetadataSelection, type NumberedStat } from "./metadata-selection.ts";
import { decodePacket } from "./packet.ts";
import { PacketWriter } from "./packet-writer.ts";
import { PathValidator } from "./path-order.ts";
import { protocolError } from "./protocol-error.ts";
import type { ReceiveOptions, ReceiveResult } from "./receive-options.ts";
import { ReceivedDigests } from "./received-digests.ts";
import { ReceivedTree } from "./received-tree.ts";
import { TreeUpdate } from "./tree-update.ts";
import { UnchangedStart } from "./unchanged-start.ts";

const maxEntries = 10_000_000;
/** Names and attributes of entries are kept in memory: as many as a tree of several million files has. */
const maxListBytes = 1 << 30;

/** What writes the tree, once there is a place for it. */
interface Writing {
  readonly update: TreeUpdate;
  readonly files: IncomingFiles;
}

/**
 * The receiving side of file sync as a state machine: bytes in, bytes out, a tree on disk. Synchronous, for a worker.
 *
 *     STAT… (REQ out) ─▶ empty STAT ─▶ DATA… ─▶ links, times (FIN out) ─▶ FIN
 *
 * Without a destination it compares until the first change, and then waits to be told one.
 */
export class ReceiveEngine implements Disposable {
  readonly #options: ReceiveOptions;
  readonly #resources = new DisposableStack();
  readonly #start: UnchangedStart | undefined;
  readonly #validator = new PathValidator();
  readonly #reader = new FrameReader((message) => this.#onMessage(message));
  readonly #output = new PacketWriter();
  readonly #digests: ReceivedDigests | undefined;
  readonly #xattrs = new DirectoryXattrs();
  readonly #weights = new ContentWeights();
  readonly #selection: MetadataSelection | undefined;
  #writing: Writing | undefined;
  /** What came and is to be done when there is a destination. */
  #waiting: (() => void)[] | undefined;
  #entries = 0;
  #listBytes = 0;
  #bytes = 0;
  #expected: ExpectedContent | undefined;
  #state: "stats" | "data" | "finishing" | "done" = "stats";

  constructor(options: ReceiveOptions) {
    this.#options = options;
    this.#selection = options.onlyMatching === undefined ? undefined : new MetadataSelection(options.onlyMatching);
    this.#digests = options.digests === true ? new ReceivedDigests() : undefined;
    try {
      this.#start = this.#compare();
      const { destination } = options;
      if (this.#start === undefined && destination !== undefined) this.#writing = this.#open(destination);
    } catch (error) {
      this.#resources.dispose();
      throw error;
    }
  }

  #compare(): UnchangedStart | undefined {
    const { previous, merge, onlyMatching } = this.#options;
    if (previous === undefined || merge) return undefined;
    return this.#resources.use(new UnchangedStart({ ...this.#options, previous, hasList: onlyMatching !== undefined }));
  }

  /** Bytes of all packets that came so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether the sender has confirmed the end. */
  get isDone(): boolean {
    return this.#state === "done";
  }

  /** Whether a change has come and there is no destination for it. Bytes must not be pushed then. */
  get needsDestination(): boolean {
    return this.#waiting !== undefined;
  }

  get result(): ReceiveResult {
    const { changes = [] } = this.#writing?.update ?? {};
    const { unlisted = [] } = this.#writing?.files ?? {};
    return {
      bytes: this.#bytes,
      entries: this.#entries,
      changes,
      digests: this.#digests?.entries,
      directoryXattrs: this.#xattrs.digest,
      unlisted,
    };
  }

  /** What is going to be sent, once that is known; each time it is asked for but the first, nothing. */
  takeExpected(): ExpectedContent | undefined {
    const expected = this.#expected;
    this.#expected = undefined;
    return expected;
  }

  /** Takes bytes of the gRPC stream and gives those to be sent, possibly none. */
  push(chunk: Buffer): Buffer {
    this.#reader.push(chunk);
    return this.#output.take();
  }

  /** Goes on with a destination: an empty directory, or the previous tree's own. Gives what is to be sent. */
  useDestination(destination: string): Buffer {
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    this.#writing ??= this.#open(destination);
    for (const work of waiting) work();
    return this.#output.take();
  }

  #open(destination: string): Writing {
    const start = this.#start;
    const directories =
      start?.directories.isOf(destination) === true
        ? start.directories
        : this.#resources.use(new DirectoryCache(destination));
    const tree = new ReceivedTree(directories, { keepsOldUntilComplete: this.#options.merge });
    const files = this.#resources.use(new IncomingFiles(tree, this.#digests));
    const want = (entry: NumberedStat): void => {
      files.expect(entry);
      this.#weights.add(entry.stat.path, entry.stat.size);
      this.#output.request(entry.id);
    };
    return { files, update: new TreeUpdate({ options: this.#options, tree, start, digests: this.#digests, want }) };
  }

  #onMessage(message: Buffer): void {
    if (this.#waiting !== undefined) {
      const copy = Buffer.from(message);
      this.#waiting.push(() => this.#onMessage(copy));
      return;
    }
    this.#bytes += message.length;
    const packet = decodePacket(message);
    switch (packet.type) {
      case "stat":
        if (this.#state !== "stats") throw protocolError("a file after the end of the list");
        this.#listBytes += message.length;
        if (packet.stat === undefined) this.#endList();
        else this.#onStat(packet.stat);
        return;
      case "data":
        this.#onData(packet.id, packet.data);
        if (packet.data.length === 0) this.#finishIfComplete();
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
    this.#xattrs.add(stat);
    const { owner } = this.#options;
    if (owner !== undefined) Object.assign(stat, owner);
    if (this.#selection === undefined) this.#onEntry({ stat, id });
    else for (const entry of this.#selection.take(stat, id)) this.#onEntry(entry);
  }

  #onEntry(entry: NumberedStat): void {
    if (this.#waiting === undefined && this.#writing === undefined && this.#start?.take(entry) === true) return;
    this.#whenWriting(({ update }) => update.receive(entry));
  }

  #onData(id: number, data: Buffer): void {
    if (this.#writing === undefined) throw protocolError(`data of file ${id}, which was not asked for`);
    this.#writing.files.receive(id, data);
  }

  /** Does it now, or when there is a destination. */
  #whenWriting(work: (writing: Writing) => void): void {
    const { destination } = this.#options;
    if (this.#writing === undefined && this.#waiting === undefined && destination !== undefined)
      this.#writing = this.#open(destination);
    if (this.#writing !== undefined) {
      work(this.#writing);
      return;
    }
    this.#waiting ??= [];
    this.#waiting.push(() => this.#whenWriting(work));
  }

  #endList(): void {
    const list = this.#selection?.list;
    if (this.#writing === undefined && this.#isUnchanged(list)) {
      this.#state = "data";
      this.#finishIfComplete();
      return;
    }
    this.#whenWriting(({ update }) => {
      update.endList(list);
      this.#expected = this.#weights.expected;
      this.#state = "data";
      this.#finishIfComplete();
    });
  }

  /** Directories whose extended attributes may differ are looked at one by one, as if something else had changed. */
  #isUnchanged(list: Buffer | undefined): boolean {
    const { previousXattrs = "" } = this.#options;
    return this.#start?.isWhole(list) === true && this.#xattrs.digest === previousXattrs;
  }

  #finishIfComplete(): void {
    if (this.#state !== "data" || this.#writing?.files.isComplete === false) return;
    this.#writing?.update.finish();
    this.#output.fin();
    this.#state = "finishing";
  }

  [Symbol.dispose](): void {
    this.#resources.dispose();
  }
}

function checkNumbers({ path, size, devMajor, devMinor }: FileStat): void {
  if (!Number.isSafeInteger(size) || size < 0) throw protocolError(`a size of ${size} for ${JSON.stringify(path)}`);
  for (const device of [devMajor, devMinor]) {
    if (device < 0 || device > 0xffff_ffff) throw protocolError(`a device ${device} for ${JSON.stringify(path)}`);
  }
}
