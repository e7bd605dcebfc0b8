/** More than a server lets a client have open at once. */
const maxStreams = 20_000;

/** How many bytes of data went by on each of a connection's streams, as long as more may come. */
export class PassedData {
  #bytes: Map<number, number> | undefined = new Map();

  add(streamId: number, bytes: number): void {
    if (this.#bytes === undefined) return;
    this.#bytes.set(streamId, (this.#bytes.get(streamId) ?? 0) + bytes);
    // Streams that this end has given up are not known of here: who leaves so many of them is not counted any more.
    if (this.#bytes.size > maxStreams) this.#bytes = undefined;
  }

  /** No more comes on the stream. */
  end(streamId: number): void {
    this.#bytes?.delete(streamId);
  }

  /** Of a stream on which more may come; undefined, if it is not known. */
  bytesOf(streamId: number): number | undefined {
    return this.#bytes === undefined ? undefined : (this.#bytes.get(streamId) ?? 0);
  }
}
