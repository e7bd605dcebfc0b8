import { performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { Duplex } from "node:stream";
import {
  create,
  type DescMessage,
  type DescMethod,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { BuildError } from "@buildkit-ts/errdefs";
import { FrameReader, frameMessage } from "./grpc-frames.ts";
import { trailersFor } from "./grpc-status.ts";
import { bulkSessionOptions, widenWindow } from "./http2-settings.ts";
import { metadataFromRawHeaders, type ReceivedMetadata } from "./metadata.ts";
import { methodPath } from "./rpc-client.ts";

/** What a handler knows of its call. */
export interface CallContext {
  readonly metadata: ReceivedMetadata;
  /** Aborted when the caller goes. */
  readonly signal: AbortSignal;
}

/** Serves a call on its stream, whose headers were sent already; what it throws becomes the call's failure. */
export type StreamHandler = (stream: ServerHttp2Stream, context: CallContext) => Promise<void>;

/** A gRPC server for a connection that was opened the other way round: a session's attachables. */
export class RpcServer {
  readonly #handlers = new Map<string, StreamHandler>();

  /** Paths of the methods that are served. */
  get methods(): readonly string[] {
    return [...this.#handlers.keys()];
  }

  handleStream(method: DescMethod, handler: StreamHandler): void {
    this.#handlers.set(methodPath(method), handler);
  }

  handleUnary<I extends DescMessage, O extends DescMessage>(
    method: DescMethod & { input: I; output: O },
    handler: (request: MessageShape<I>, context: CallContext) => Promise<MessageInitShape<O>>,
  ): void {
    this.handleStream(method, async (stream, context) => {
      const message = await firstMessage(stream);
      const answer = await handler(fromBinary(method.input, message), context);
      stream.write(frameMessage(toBinary(method.output, create(method.output, answer))));
    });
  }

  /** Serves the connection until it ends or the signal is aborted. */
  async serve(connection: Duplex, options: { readonly signal: AbortSignal }): Promise<void> {
    const { signal } = options;
    signal.throwIfAborted();
    const session: ServerHttp2Session = performServerHandshake(connection, bulkSessionOptions);
    widenWindow(session);
    session.on("stream", (...[stream, headers, , rawHeaders]) => {
      this.#dispatch(stream, String(headers[":path"]), metadataFromRawHeaders(rawHeaders));
    });
    // A lost connection is no failure of ours: the call that needed it tells.
    session.on("error", () => undefined);
    await new Promise<void>((resolve) => {
      // A session does not always close with the stream it is on, nor the other way round. The stream goes first: Node
      // throws when a session says farewell on one that is about to end.
      const end = (): void => {
        connection.destroy();
      };
      signal.addEventListener("abort", end, { once: true });
      session.once("close", end);
      connection.once("close", () => {
        signal.removeEventListener("abort", end);
        session.destroy();
        resolve();
      });
    });
  }

  #dispatch(stream: ServerHttp2Stream, path: string, metadata: ReceivedMetadata): void {
    const handler = this.#handlers.get(path);
    const controller = new AbortController();
    let finished = false;
    stream.on("error", () => undefined);
    stream.once("close", () => {
      if (!finished) controller.abort(new BuildError("canceled", "context canceled"));
    });
    if (handler === undefined) {
      const error = new BuildError("unimplemented", `unknown method ${path}`);
      stream.respond(
        { ":status": 200, "content-type": "application/grpc", ...trailersFor(error) },
        { endStream: true },
      );
      return;
    }
    let failure: { readonly error: unknown } | undefined;
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.once("wantTrailers", () => {
      finished = true;
      stream.sendTrailers(trailersFor(failure === undefined ? undefined : failure.error));
    });
    const end = (): void => {
      if (!stream.destroyed && !stream.writableEnded) stream.end();
    };
    handler(stream, { metadata, signal: controller.signal }).then(end, (error: unknown) => {
      failure = { error };
      end();
    });
  }
}

async function firstMessage(stream: ServerHttp2Stream): Promise<Buffer> {
  let first: Buffer | undefined;
  const reader = new FrameReader((message) => {
    first ??= message;
  });
  for await (const chunk of stream as AsyncIterable<Buffer>) reader.push(chunk);
  if (first === undefined) throw new BuildError("invalid_argument", "Cannot read request: it is empty");
  return first;
}
