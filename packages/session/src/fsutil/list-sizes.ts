import type { ClientHttp2Stream } from "node:http2";
import { BuildError } from "@buildkit-ts/errdefs";
import { FrameReader } from "../wire/grpc-frames.ts";
import { decodePacket } from "./packet.ts";
import { PacketWriter } from "./packet-writer.ts";

const maxListBytes = 1 << 30;

/**
 * The sizes with which a sender lists these paths, on a stream that asks for the list of the tree and for no content.
 * Paths that it no longer lists are missing.
 */
export async function listSizes(
  stream: ClientHttp2Stream,
  paths: ReadonlySet<string>,
  options: { readonly signal: AbortSignal },
): Promise<ReadonlyMap<string, number>> {
  const sizes = new Map<string, number>();
  let isListed = false;
  let bytes = 0;
  const reader = new FrameReader((message) => {
    const packet = decodePacket(message);
    bytes += message.length;
    if (packet.type === "error") throw new BuildError("unknown", `error from sender: ${packet.message}`);
    if (bytes > maxListBytes) throw new BuildError("resource_exhausted", "Cannot receive files: too many entries");
    if (packet.type !== "stat" || isListed) return;
    if (packet.stat === undefined) {
      isListed = true;
      const writer = new PacketWriter();
      writer.fin();
      stream.write(writer.take());
    } else if (paths.has(packet.stat.path)) sizes.set(packet.stat.path, packet.stat.size);
  });
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    options.signal.throwIfAborted();
    reader.push(chunk);
  }
  if (!isListed) throw new BuildError("unavailable", "Cannot receive files: the sender ended the stream early");
  return sizes;
}
