import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { create, toBinary } from "@bufbuild/protobuf";
import { Content, WriteAction, WriteContentRequestSchema } from "@buildkit-ts/api/containerd/content";
import { BuildError } from "@buildkit-ts/errdefs";
import type { SessionCaller } from "../session.ts";
import { frameMessage } from "../wire/grpc-frames.ts";
import { callStreaming, callUnary, messagesOf, methodPath, streamOutcome } from "../wire/rpc-client.ts";

const storeHeader = "buildkit-attachable-store-id";

/** Messages stay far below what peers accept. */
const maxChunkBytes = 1 << 20;

/** A blob as its descriptor names it. */
export interface BlobName {
  readonly digest: string;
  readonly size: number;
}

/** A store of blobs that a client serves, such as the directory of a local cache. Ends with the client's session. */
export class SessionBlobs {
  readonly #caller: SessionCaller;
  readonly #metadata: Readonly<Record<string, string>>;

  /**
   * @param storeId What the client calls it: `local:<directory>`, `oci:<name>`, `export`.
   * @throws {BuildError} `unimplemented`, if the client serves no stores; `invalid_argument`, for a name that no header
   *   can hold.
   */
  constructor(caller: SessionCaller, storeId: string) {
    if (!caller.supports(methodPath(Content.method.info)))
      throw new BuildError("unimplemented", `Cannot use content store "${storeId}": the client serves none`);
    if (!/^[\x20-\x7e]*$/.test(storeId)) {
      throw new BuildError(
        "invalid_argument",
        `header key "${storeHeader}" contains value with non-printable ASCII characters`,
      );
    }
    this.#caller = caller;
    this.#metadata = { [storeHeader]: storeId };
  }

  /** Undefined, if the store does not have the blob. */
  async find(digest: string, options: { readonly signal: AbortSignal }): Promise<BlobName | undefined> {
    try {
      const call = { method: Content.method.info, request: { digest } };
      const { info } = await callUnary(this.#caller.http2, call, this.#options(options.signal));
      return { digest, size: Number(info?.size ?? 0n) };
    } catch (error) {
      // A store that is unknown as a whole is another matter than one that lacks a blob.
      if (error instanceof BuildError && error.code === "not_found" && !error.message.startsWith("unknown store"))
        return undefined;
      throw error;
    }
  }

  /** The blob's bytes from `offset` on. @throws {BuildError} `not_found`, when the blob is not there. */
  async open(
    descriptor: BlobName,
    options: { readonly signal: AbortSignal; readonly offset?: number },
  ): Promise<AsyncIterable<Uint8Array>> {
    const request = { digest: descriptor.digest, offset: BigInt(options.offset ?? 0) };
    const answers = callStreaming(
      this.#caller.http2,
      { method: Content.method.read, request },
      this.#options(options.signal),
    );
    const first = await answers.next();
    return (async function* () {
      if (first.done === true) return;
      yield first.value.data;
      for await (const { data } of answers) yield data;
    })();
  }

  /** Stores a blob; one that is there already is left alone. @throws what the client reports. */
  async write(
    blob: BlobName,
    content: AsyncIterable<Uint8Array>,
    options: { readonly signal: AbortSignal },
  ): Promise<void> {
    if ((await this.find(blob.digest, options)) !== undefined) return;
    const { signal } = this.#options(options.signal);
    const stream = this.#caller.openStream(methodPath(Content.method.write), this.#metadata);
    const outcome = streamOutcome(stream, { signal });
    outcome.catch(() => undefined);
    const answers = messagesOf(stream);
    try {
      // A name of its own, so that the upload starts at 0 whatever an earlier one left behind.
      const head = { ref: `${blob.digest}-${randomUUID()}`, total: BigInt(blob.size), expected: blob.digest };
      let offset = 0n;
      const send = async (action: WriteAction, data: Uint8Array): Promise<void> => {
        const message = create(WriteContentRequestSchema, { ...head, action, offset, data });
        offset += BigInt(data.length);
        const isFull = !stream.write(frameMessage(toBinary(WriteContentRequestSchema, message)));
        if (isFull && !stream.closed) await Promise.race([once(stream, "drain", { signal }), outcome]);
      };
      // The first answer says whether the client takes the blob at all, before its bytes are sent in vain.
      await send(WriteAction.STAT, new Uint8Array());
      const isTaken = (await answers.next()).done !== true;
      const rest = drain(answers);
      for await (const chunk of isTaken ? content : []) {
        if (stream.closed) break;
        for (let at = 0; at < chunk.length; at += maxChunkBytes)
          await send(WriteAction.WRITE, chunk.subarray(at, at + maxChunkBytes));
      }
      if (isTaken && !stream.closed) await send(WriteAction.COMMIT, new Uint8Array());
      if (!stream.closed) stream.end();
      await rest;
      await outcome;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof BuildError) || error.code !== "already_exists") throw error;
    } finally {
      if (!stream.closed) stream.close();
    }
  }

  #options(signal: AbortSignal): { readonly signal: AbortSignal; readonly metadata: Readonly<Record<string, string>> } {
    return { signal: AbortSignal.any([signal, this.#caller.closed]), metadata: this.#metadata };
  }
}

async function drain(messages: AsyncIterator<unknown>): Promise<void> {
  while ((await messages.next()).done !== true);
}
