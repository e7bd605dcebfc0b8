import { BuildError } from "@buildkit-ts/errdefs";
import type { FileStat } from "./file-stat.ts";
import type { NumberedStat } from "./metadata-selection.ts";
import { protocolError } from "./protocol-error.ts";
import type { ReceivedDigests } from "./received-digests.ts";
import type { ReceivedTree, ReceivingFile } from "./received-tree.ts";

/** The sender uses up to four at once; a hostile one must not use up our descriptors. */
const maxOpenFiles = 64;
const maxUnlisted = 65_536;

/** The contents of the files that were asked for, as they come. Disposal gives up those that are not complete. */
export class IncomingFiles implements Disposable {
  readonly #tree: ReceivedTree;
  readonly #digests: ReceivedDigests | undefined;
  readonly #requested = new Map<number, FileStat>();
  readonly #receiving = new Map<number, ReceivingFile>();
  readonly #unlisted: string[] = [];

  constructor(tree: ReceivedTree, digests: ReceivedDigests | undefined) {
    this.#tree = tree;
    this.#digests = digests;
  }

  /** Whether all that was asked for is there. */
  get isComplete(): boolean {
    return this.#requested.size === 0 && this.#receiving.size === 0;
  }

  /** Files that had content and no size in the list; none, if there are too many. */
  get unlisted(): readonly string[] {
    return this.#unlisted.length > maxUnlisted ? [] : this.#unlisted;
  }

  /** Expects the content of a file. */
  expect({ stat, id }: NumberedStat): void {
    this.#requested.set(id, stat);
  }

  /** Takes a part of a file; an empty one ends it. */
  receive(id: number, data: Buffer): void {
    const file = this.#receiving.get(id) ?? this.#begin(id);
    const { size } = file.stat;
    if (data.length > 0) {
      file.receivedBytes += data.length;
      // No size is announced for further names of a file, nor by file systems that make content up as it is read.
      if (size > 0 && file.receivedBytes > size) throw changed(file);
      this.#tree.write(file, data);
      this.#digests?.update(id, data);
      return;
    }
    if (size > 0 && file.receivedBytes !== size) throw changed(file);
    if (size === 0 && file.receivedBytes > 0 && this.#unlisted.length <= maxUnlisted)
      this.#unlisted.push(file.stat.path);
    this.#receiving.delete(id);
    this.#tree.finishFile(file);
    this.#digests?.finishFile(id, file.stat);
  }

  #begin(id: number): ReceivingFile {
    const stat = this.#requested.get(id);
    if (stat === undefined) throw protocolError(`data of file ${id}, which was not asked for`);
    if (this.#receiving.size >= maxOpenFiles) throw protocolError("too many files at once");
    const file = this.#tree.beginFile(stat);
    this.#receiving.set(id, file);
    this.#requested.delete(id);
    this.#digests?.beginFile(id, stat);
    return file;
  }

  [Symbol.dispose](): void {
    for (const file of this.#receiving.values()) this.#tree.abandonFile(file);
    this.#receiving.clear();
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
