import { type ClientHttp2Session, type ClientHttp2Stream, constants } from "node:http2";
import {
  create,
  type DescMessage,
  type DescMethod,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { frameMessage } from "./grpc-frames.ts";
import { type CallOptions, messagesOf, methodPath, openStream, streamOutcome } from "./rpc-client.ts";

/** A call whose both sides send messages as they like. Disposal cancels what still runs. */
export class DuplexCall<I extends DescMessage, O extends DescMessage> implements Disposable {
  readonly #stream: ClientHttp2Stream;
  readonly #outcome: Promise<void>;
  readonly #method: DescMethod & { input: I; output: O };

  constructor(session: ClientHttp2Session, method: DescMethod & { input: I; output: O }, options: CallOptions) {
    options.signal.throwIfAborted();
    this.#method = method;
    this.#stream = openStream(session, methodPath(method), options.metadata);
    this.#outcome = streamOutcome(this.#stream, options);
    this.#outcome.catch(() => undefined);
  }

  /** Resolves when the message was handed to the connection: writers that wait for it are slowed down by a slow peer. */
  async send(message: MessageInitShape<I>): Promise<void> {
    const frame = frameMessage(toBinary(this.#method.input, create(this.#method.input, message)));
    // A stream that is gone never calls back; its outcome says why.
    if (this.#stream.destroyed || this.#stream.writableEnded) return await this.#outcome;
    const written = Promise.withResolvers<void>();
    this.#stream.write(frame, () => written.resolve());
    await Promise.race([written.promise, this.#outcome]);
  }

  /** Says that no more messages will be sent. */
  end(): void {
    if (!this.#stream.writableEnded) this.#stream.end();
  }

  /** What the other side sends. Throws its failure at the end. */
  async *messages(): AsyncGenerator<MessageShape<O>, void, undefined> {
    for await (const message of messagesOf(this.#stream)) yield fromBinary(this.#method.output, message);
    // The stream is open as long as one side is: who has said all would wait for us, and we for its end.
    this.end();
    await this.#outcome;
  }

  [Symbol.dispose](): void {
    if (!this.#stream.closed) this.#stream.close(constants.NGHTTP2_CANCEL);
  }
}
