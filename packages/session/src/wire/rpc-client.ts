import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http2";
import { constants } from "node:http2";
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
import { callTraceHeaders } from "./call-trace.ts";
import { FrameReader, frameMessage } from "./grpc-frames.ts";
import { errorFromHttpStatus, errorFromTrailers } from "./grpc-status.ts";
import type { Metadata } from "./metadata.ts";
import { RpcError } from "./rpc-error.ts";

/** Options of a call. */
export interface CallOptions {
  readonly signal: AbortSignal;
  readonly metadata?: Metadata;
  /** Called with the answer's headers. */
  readonly onHeaders?: (headers: IncomingHttpHeaders) => void;
}

/** `/<service>/<Method>`. */
export function methodPath(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

/** Opens a gRPC stream without reading or writing a message. */
export function openStream(session: ClientHttp2Session, path: string, metadata: Metadata = {}): ClientHttp2Stream {
  if (session.closed || session.destroyed) {
    throw new BuildError("unavailable", `Cannot call "${path}": the connection is closed`);
  }
  const headers: OutgoingHttpHeaders = {
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
    "user-agent": "buildkit-ts",
    ...callTraceHeaders(),
  };
  for (const [key, value] of Object.entries(metadata)) {
    headers[key] = typeof value === "string" ? value : [...value];
  }
  return session.request(headers, { endStream: false });
}

/**
 * Resolves when the other side ended the stream with success, and rejects with its failure, with `unavailable` for a
 * lost connection, or with the signal's reason. Someone has to consume the stream's data meanwhile.
 */
export async function streamOutcome(stream: ClientHttp2Stream, options: CallOptions): Promise<void> {
  const { signal } = options;
  let ended: IncomingHttpHeaders | undefined;
  let httpStatus = 200;
  await new Promise<void>((resolve, reject) => {
    const onAbort = (): void => {
      stream.close(constants.NGHTTP2_CANCEL);
      reject(signal.reason as Error);
    };
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    let failure: Error | undefined;
    stream.once("response", (headers) => {
      httpStatus = Number(headers[":status"] ?? 200);
      if (headers["grpc-status"] !== undefined) ended = headers;
      options.onHeaders?.(headers);
    });
    stream.once("trailers", (headers) => {
      ended = headers;
    });
    stream.once("error", (error: Error) => {
      failure = error;
    });
    stream.once("close", () => {
      signal.removeEventListener("abort", onAbort);
      const error = ended === undefined ? lostStream(stream, httpStatus, failure) : errorFromTrailers(ended);
      if (error === undefined) resolve();
      else reject(error);
    });
  });
}

/** One request, one answer. */
export async function callUnary<I extends DescMessage, O extends DescMessage>(
  session: ClientHttp2Session,
  call: { readonly method: DescMethod & { input: I; output: O }; readonly request: MessageInitShape<I> },
  options: CallOptions,
): Promise<MessageShape<O>> {
  let answer: MessageShape<O> | undefined;
  for await (const message of callStreaming(session, call, options)) answer ??= message;
  if (answer === undefined) {
    throw new RpcError("internal", `Cannot call "${methodPath(call.method)}": the answer is empty`);
  }
  return answer;
}

/** One request, many answers. Leaving the loop cancels the call. */
export async function* callStreaming<I extends DescMessage, O extends DescMessage>(
  session: ClientHttp2Session,
  call: { readonly method: DescMethod & { input: I; output: O }; readonly request: MessageInitShape<I> },
  options: CallOptions,
): AsyncGenerator<MessageShape<O>, void, undefined> {
  options.signal.throwIfAborted();
  const { input, output } = call.method;
  const stream = openStream(session, methodPath(call.method), options.metadata);
  const outcome = streamOutcome(stream, options);
  outcome.catch(() => undefined);
  stream.end(frameMessage(toBinary(input, create(input, call.request))));
  try {
    for await (const message of messagesOf(stream)) yield fromBinary(output, message);
    await outcome;
  } finally {
    if (!stream.closed) stream.close(constants.NGHTTP2_CANCEL);
  }
}

/** The messages of a stream, with back-pressure. A failure of the stream ends the loop: its outcome tells. */
export async function* messagesOf(stream: ClientHttp2Stream): AsyncGenerator<Buffer, void, undefined> {
  let queue: Buffer[] = [];
  const reader = new FrameReader((message) => queue.push(message));
  let wake: (() => void) | undefined;
  let failure: { readonly error: unknown } | undefined;
  let done = false;
  const notify = (): void => {
    wake?.();
    wake = undefined;
  };
  stream.on("data", (chunk: Buffer) => {
    try {
      reader.push(chunk);
    } catch (error) {
      failure = { error };
    }
    if (queue.length > 64) stream.pause();
    notify();
  });
  const finish = (): void => {
    done = true;
    notify();
  };
  stream.once("end", finish);
  stream.once("close", finish);
  for (;;) {
    const batch = queue;
    queue = [];
    yield* batch;
    if (failure !== undefined) throw failure.error;
    if (queue.length > 0) continue;
    if (done) return;
    const woken = new Promise<void>((resolve) => {
      wake = resolve;
    });
    stream.resume();
    await woken;
  }
}

function lostStream(stream: ClientHttp2Stream, httpStatus: number, cause: Error | undefined): RpcError {
  if (httpStatus !== 200) return errorFromHttpStatus(httpStatus);
  if (stream.rstCode === constants.NGHTTP2_CANCEL) return new RpcError("canceled", "context canceled", { cause });
  const reason = cause === undefined ? "server closed the stream without sending trailers" : cause.message;
  return new RpcError("unavailable", `error reading from server: ${reason}`, { cause });
}
