import { mkdirSync } from "node:fs";
import type { ServerHttp2Stream } from "node:http2";
import type { Writable } from "node:stream";
import { FileSend } from "@buildkit-ts/api/buildkit/filesync";
import { BuildError } from "@buildkit-ts/errdefs";
import { BytesMessageParser } from "../wire/byte-stream.ts";
import { drained } from "../wire/drained.ts";
import type { ReceivedMetadata } from "../wire/metadata.ts";
import type { CallContext } from "../wire/rpc-server.ts";
import type { Attachable } from "./client-session.ts";

/** Where one output of a build goes on the client's machine. */
export type OutputTarget =
  | {
      readonly kind: "file";
      /** Opens the file for the exporter's response (without the prefix of its keys); undefined declines it. */
      readonly open: (response: Readonly<Record<string, string>>) => Promise<Writable | undefined>;
    }
  | {
      readonly kind: "directory";
      readonly path: string;
      /** Removes what the build does not have. */
      readonly mirror: boolean;
    };

/** Takes outputs, by the index of their exporter. */
export function takeOutputs(targets: ReadonlyMap<number, OutputTarget>): Attachable {
  return (server) => {
    server.handleStream(FileSend.method.diffCopy, async (stream, context) => {
      const id = Number.parseInt(context.metadata["buildkit-attachable-exporter-id"]?.[0] ?? "0", 10) || 0;
      const target = targets.get(id);
      if (target === undefined) throw new BuildError("not_found", `exporter ${id} not found`);
      if (target.kind === "file") await takeFile(stream, target, context);
      else await takeDirectory(stream, target, context);
    });
  };
}

async function takeFile(
  stream: ServerHttp2Stream,
  target: Extract<OutputTarget, { kind: "file" }>,
  { metadata, signal }: CallContext,
): Promise<void> {
  const file = await target.open(responseOf(metadata));
  if (file === undefined) throw new BuildError("already_exists", "target already exists");
  let failure: Error | undefined;
  file.on("error", (error) => {
    failure ??= error;
  });
  const parser = new BytesMessageParser((data) => file.write(data));
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    signal.throwIfAborted();
    parser.push(chunk);
    if (failure !== undefined) throw failure;
    if (file.writableNeedDrain) await drained(file);
  }
  await ended(file);
  if (failure !== undefined) throw failure;
}

async function takeDirectory(
  stream: ServerHttp2Stream,
  target: Extract<OutputTarget, { kind: "directory" }>,
  { metadata, signal }: CallContext,
): Promise<void> {
  if (target.mirror && metadata["buildkit-exporter-multi-platform"]?.includes("1") !== true) {
    const need = "a BuildKit daemon with multi-platform local export support";
    throw new BuildError("failed_precondition", `local exporter mode=delete requires ${need}`);
  }
  mkdirSync(target.path, { recursive: true, mode: 0o700 });
  // Loaded on demand: it brings system calls by FFI, which most builds of a client do without.
  const { receiveTree } = await import("../fsutil/receive-tree.ts");
  await receiveTree(stream, {
    destination: target.path,
    merge: !target.mirror,
    differ: target.mirror ? "none" : "metadata",
    owner: { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
    signal,
  });
}

function responseOf(metadata: ReceivedMetadata): Record<string, string> {
  const response: Record<string, string> = {};
  for (const [key, values] of Object.entries(metadata)) {
    if (key.startsWith("exporter-md-")) response[key.slice("exporter-md-".length)] = values.join(",");
  }
  return response;
}

async function ended(file: Writable): Promise<void> {
  if (file === process.stdout) {
    await new Promise<void>((resolve) => file.write("", () => resolve()));
    return;
  }
  await new Promise<void>((resolve) => {
    file.once("close", resolve);
    file.end();
  });
}
