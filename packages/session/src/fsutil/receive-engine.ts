import { BuildError } from "@buildkit-ts/errdefs";
import { FrameReader } from "../wire/grpc-frames.ts";
import { type FileStat, isDirectory, isSymlink } from "./file-stat.ts";
import { IncomingFiles } from "./incoming-files.ts";
import { MetadataSelection, type NumberedStat } from "./metadata-selection.ts";
import { decodePacket, PacketWriter } from "./packet.ts";
import { PathValidator } from "./path-order.ts";
import { protocolError } from "./protocol-error.ts";
import type { ReceiveOptions, ReceiveResult } from "./receive-options.ts";
import { ReceivedDigests } from "./received-digests.ts";
import { ReceivedTree } from "./received-tree.ts";
import { TreeUpdate } from "./tree-update.ts";

const maxEntries = 10_000_000;
/** Names and attributes of entries are kept in memory: as many as a tree of several million files has. */
const maxListBytes = 1 << 30;

/**
 * The receiving side of file sync as a state machine: bytes in, bytes out, a tree on disk. Synchronous, for a worker.
 *
 *     STAT… (REQ out) ─▶ empty STAT ─▶ DATA… ─▶ links, times (FIN out) ─▶ FIN
 */
export class ReceiveEngine implements Disposable {
  readonly #resources: DisposableStack;
  readonly #update: TreeUpdate;
  readonly #files: IncomingFiles;
  readonly #validator = new PathValidator();
  readonly #reader = new FrameReader((message) => this.#onMessage(message));
  readonly #output = new PacketWriter();
  readonly #digests: ReceivedDigests | undefined;
  readonly #selection: MetadataSelection | undefined;
  #entries = 0;
  #listBytes = 0;
  #bytes = 0;
  #state: "stats" | "data" | "finishing" | "done" = "stats";

  constructor(options: ReceiveOptions) {
    this.#selection = options.onlyMatching === undefined ? undefined : new MetadataSelection(options.onlyMatching);
    const digests = options.digests === true ? new ReceivedDigests() : undefined;
    using resources = new DisposableStack();
    const tree = resources.use(new ReceivedTree(options.destination, { keepsOldUntilComplete: options.merge }));
    this.#digests = digests;
    this.#files = resources.use(new IncomingFiles(tree, digests));
    this.#update = resources.use(new TreeUpdate({ options, tree, digests, want: (entry) => this.#request(entry) }));
    this.#resources = resources.move();
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
    const { changes } = this.#update;
    const { unlisted } = this.#files;
    return { bytes: this.#bytes, entries: this.#entries, changes, digests: this.#digests?.entries, unlisted };
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
        if (packet.stat === undefined) this.#endList();
        else this.#onStat(packet.stat);
        return;
      case "data":
        this.#files.receive(packet.id, packet.data);
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
    if (this.#selection === undefined) this.#update.receive({ stat, id });
    else for (const entry of this.#selection.take(stat, id)) this.#update.receive(entry);
  }

  #request(entry: NumberedStat): void {
    this.#files.expect(entry);
    this.#output.request(entry.id);
  }

  #endList(): void {
    this.#update.endList(this.#selection?.list);
    this.#state = "data";
    this.#finishIfComplete();
  }

  #finishIfComplete(): void {
    if (this.#state !== "data" || !this.#files.isComplete) return;
    this.#update.finish();
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
