import { BuildError } from "@buildkit-ts/errdefs";
import { readNamesUpTo } from "@buildkit-ts/sys";
import { FrameReader } from "../wire/grpc-frames.ts";
import { DirectoryCache } from "./directory-cache.ts";
import { DirectoryXattrs } from "./directory-xattrs.ts";
import { ExpectedContents } from "./expected-contents.ts";
import type { FileStat } from "./file-stat.ts";
import { decodePacket } from "./packet.ts";
import { PacketWriter } from "./packet-writer.ts";
import { protocolError } from "./protocol-error.ts";
import type { ReceiveOptions, ReceiveResult } from "./receive-options.ts";
import { isSameFile } from "./received-tree.ts";
import { TreeCursor } from "./tree-cursor.ts";

/** A list beyond this is not worth the wait of whatever else the thread has to do. */
const maxListBytes = 64 << 10;
/** What may come after it: contents, in packets. */
const maxContentBytes = 128 << 10;
/** Directories of more names than such a list can have are not read: they are not what is listed. */
const maxNames = 4096;

/**
 * What comes of some bytes: more has to come; the list is that of the tree before, and contents are to be asked for; all is as in
 * the tree before, which is to be confirmed; the sender has confirmed it, too; or somebody else has to deal with all that came.
 */
export type QuickStep = "wait" | "ask" | "same" | "done" | "differs";

interface QuickOptions {
  readonly hasDigests: boolean;
  readonly wantsContents: boolean;
  /** Those of the directories of the tree before. */
  readonly xattrs: string;
}

/**
 * The begin of a transfer, for the case that it is all: a short list of a tree in which nothing has changed. Neither a
 * thread nor a place for another tree is needed to see that, and most transfers of a build are of this kind.
 *
 *     list… ─▶ same (FIN out) ─▶ FIN ─▶ done
 *        │ └─▶ ask (REQ out) ─▶ DATA… ─▶ same
 *        └──────▶ differs, or is long, or is not what a sender may say: begin anew elsewhere with what came
 *                 ({@linkcode QuickComparison.chunks}), and do not ask for what was asked for ({@linkcode QuickComparison.requests})
 *
 * Contents are compared where all files are wanted, whatever their metadata: of a Dockerfile, in every build.
 */
export class QuickComparison {
  readonly #previous: string;
  readonly #options: QuickOptions;
  readonly #xattrs = new DirectoryXattrs();
  readonly #chunks: Buffer[] = [];
  readonly #stats: FileStat[] = [];
  readonly #reader = new FrameReader((message) => this.#onMessage(message));
  #state: "list" | "compare" | "contents" | "confirmed" | "done" = "list";
  #expected: ExpectedContents | undefined;
  #streamBytes = 0;
  #bytes = 0;

  private constructor(previous: string, options: QuickOptions) {
    this.#previous = previous;
    this.#options = options;
  }

  /** Undefined for transfers whose outcome does not depend on the tree before alone. */
  static for(options: Omit<ReceiveOptions, "destination">): QuickComparison | undefined {
    const { previous, merge, differ, owner, onlyMatching, digests, isUnfinished = false } = options;
    const isPlain = !merge && !isUnfinished && owner === undefined && onlyMatching === undefined;
    if (!isPlain || previous === undefined) return undefined;
    return new QuickComparison(previous, {
      hasDigests: digests === true,
      wantsContents: differ === "none",
      xattrs: options.previousXattrs ?? "",
    });
  }

  /** All that came. */
  get chunks(): readonly Buffer[] {
    return this.#chunks;
  }

  /** All that was asked for. */
  get requests(): Buffer {
    return this.#expected?.requests ?? Buffer.alloc(0);
  }

  /** As the thread would give it. */
  get result(): ReceiveResult {
    return {
      bytes: this.#bytes,
      entries: this.#stats.length,
      changes: [],
      digests: this.#options.hasDigests ? [] : undefined,
      directoryXattrs: this.#xattrs.digest,
      unlisted: [],
    };
  }

  /** @throws {BuildError} what the sender reports, or `invalid_argument`, once the tree was confirmed. */
  push(chunk: Buffer): QuickStep {
    this.#streamBytes += chunk.length;
    if (this.#state === "confirmed") {
      this.#reader.push(chunk);
      return this.#isDone() ? "done" : "wait";
    }
    // Its buffer may be used again.
    const kept = Buffer.from(chunk);
    this.#chunks.push(kept);
    if (this.#streamBytes > maxListBytes + maxContentBytes) return "differs";
    try {
      this.#reader.push(kept);
      return this.#next();
    } catch {
      // Whoever reads it again reports it.
      return "differs";
    }
  }

  #next(): QuickStep {
    if (this.#state === "list") return this.#streamBytes > maxListBytes ? "differs" : "wait";
    if (this.#state === "compare") {
      if (!this.#isUnchanged()) return "differs";
      if (this.#expected?.areComplete === false) {
        this.#state = "contents";
        return "ask";
      }
    } else if (this.#expected?.areComplete === false) return "wait";
    this.#state = "confirmed";
    return "same";
  }

  /** What confirms the list. */
  confirmation(): Buffer {
    const writer = new PacketWriter(64);
    writer.fin();
    return writer.take();
  }

  #isDone(): boolean {
    return this.#state === "done";
  }

  #onMessage(message: Buffer): void {
    this.#bytes += message.length;
    const packet = decodePacket(message);
    if (this.#state === "list" && packet.type === "stat") {
      if (packet.stat === undefined) this.#state = "compare";
      else {
        this.#xattrs.add(packet.stat);
        this.#stats.push(packet.stat);
      }
      return;
    }
    if (this.#state === "contents" && packet.type === "data") {
      if (this.#expected?.take(packet.id, packet.data) === true) return;
      throw protocolError("other contents than before");
    }
    if (packet.type === "error") throw new BuildError("unknown", `error from sender: ${packet.message}`);
    if (this.#state !== "confirmed" || packet.type !== "fin") throw protocolError("more after the end of the list");
    this.#state = "done";
  }

  /** Names of the tree are clean and in order, so those of a list that is equal to it are. */
  #isUnchanged(): boolean {
    if (this.#xattrs.digest !== this.#options.xattrs) return false;
    using directories = new DirectoryCache(this.#previous);
    const cursor = new TreeCursor(directories, (fd) => readNamesUpTo(fd, maxNames));
    for (const stat of this.#stats) {
      const { current } = cursor;
      if (current === undefined || current.path !== stat.path || !isSameFile(current, stat)) return false;
      cursor.next();
    }
    if (cursor.current !== undefined) return false;
    if (!this.#options.wantsContents) return true;
    this.#expected = ExpectedContents.of(this.#stats, directories);
    return this.#expected !== undefined;
  }
}
