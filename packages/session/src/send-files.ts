import { pipeline } from "node:stream/promises";
import { BuildError } from "@buildkit-ts/errdefs";
import type { SendEntry } from "./fsutil/send-entry.ts";
import { sendTree } from "./fsutil/send-tree.ts";
import type { SessionCaller } from "./session.ts";
import { GrpcByteStream } from "./wire/byte-stream.ts";
import { streamOutcome } from "./wire/rpc-client.ts";

const fileSend = "/moby.filesync.v1.FileSend/DiffCopy";

/** Which output of a client is meant. */
export interface SendTarget {
  /** Index of the exporter in the client's request. */
  readonly exporterId: number;
}

/**
 * Sends a tree into a directory of a client: the output `local`.
 *
 * @throws {BuildError} `unimplemented`, if the client takes no output; what the client reports.
 */
export async function sendFiles(
  caller: SessionCaller,
  request: SendTarget & {
    /** In the order of file sync, such as {@linkcode walkTree} gives them. */
    readonly entries: Iterable<SendEntry>;
    /** One transfer holds all platforms: clients that mirror the tree (`mode=delete`) insist on it. */
    readonly isComplete?: boolean;
    readonly onProgress?: (bytes: number) => void;
  },
  options: { readonly signal: AbortSignal },
): Promise<void> {
  const signal = AbortSignal.any([options.signal, caller.closed]);
  const stream = openFileSend(caller, {
    "buildkit-attachable-exporter-id": String(request.exporterId),
    ...(request.isComplete === true && { "buildkit-exporter-multi-platform": "1" }),
  });
  const outcome = streamOutcome(stream, { signal });
  outcome.catch(() => undefined);
  try {
    const { onProgress } = request;
    await sendTree(stream, request.entries, { signal, ...(onProgress !== undefined && { onProgress }) });
  } catch (error) {
    stream.end();
    if (error instanceof BuildError && error.code === "unavailable") await outcome;
    stream.close();
    throw error;
  }
  stream.end();
  await outcome;
}

/**
 * Sends bytes to a client's file or standard output: tar-like outputs.
 *
 * @returns whether the client took them; it declines what it has already.
 */
export async function sendBytes(
  caller: SessionCaller,
  request: SendTarget & {
    /** Told to the client before the first byte, such as the image's digest. */
    readonly metadata?: Readonly<Record<string, string>>;
    readonly content: AsyncIterable<Uint8Array>;
  },
  options: { readonly signal: AbortSignal },
): Promise<boolean> {
  const signal = AbortSignal.any([options.signal, caller.closed]);
  const metadata: Record<string, string> = { "buildkit-attachable-exporter-id": String(request.exporterId) };
  for (const [key, value] of Object.entries(request.metadata ?? {})) metadata[`exporter-md-${key}`] = value;
  const stream = openFileSend(caller, metadata);
  const outcome = streamOutcome(stream, { signal });
  outcome.catch(() => undefined);
  const bytes = new GrpcByteStream(stream);
  bytes.resume();
  try {
    await pipeline(request.content, bytes, { signal });
  } catch (error) {
    // The client may have ended the stream, and then it said why.
    if (stream.closed) {
      if (await isDeclined(outcome)) return false;
    }
    stream.close();
    throw error;
  }
  return !(await isDeclined(outcome));
}

async function isDeclined(outcome: Promise<void>): Promise<boolean> {
  try {
    await outcome;
    return false;
  } catch (error) {
    if (error instanceof BuildError && error.code === "already_exists") return true;
    throw error;
  }
}

function openFileSend(
  caller: SessionCaller,
  metadata: Readonly<Record<string, string>>,
): ReturnType<SessionCaller["openStream"]> {
  if (!caller.supports(fileSend)) {
    throw new BuildError("unimplemented", `method ${fileSend} not supported by the client`);
  }
  return caller.openStream(fileSend, metadata);
}
