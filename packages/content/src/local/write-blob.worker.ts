import { createHash, type Hash } from "node:crypto";
import { closeSync, fdatasync, openSync, writevSync } from "node:fs";
import { promisify } from "node:util";
import { parentPort } from "node:worker_threads";
import type { FromBlobThread, ToBlobThread } from "./blob-thread-protocol.ts";

const sync = promisify(fdatasync);

interface OpenBlob {
  readonly fd: number;
  readonly hash: Hash;
  size: number;
}

const blobs = new Map<number, OpenBlob>();

parentPort?.on("message", (message: ToBlobThread) => {
  handle(message).catch((error: unknown) => {
    close(message.id);
    const { message: text, code } = error as NodeJS.ErrnoException;
    post({ type: "failed", id: message.id, message: text, code });
  });
});

async function handle(message: ToBlobThread): Promise<void> {
  const { id } = message;
  switch (message.type) {
    case "open":
      blobs.set(id, { fd: openSync(message.path, "wx", 0o600), hash: createHash("sha256"), size: 0 });
      return;
    case "write":
      write(id, message.chunks);
      return;
    case "finish":
      await finish(id);
      return;
    case "drop":
      close(id);
      post({ type: "dropped", id });
      return;
    default:
      message satisfies never;
  }
}

function write(id: number, chunks: readonly Uint8Array<ArrayBuffer>[]): void {
  const blob = blobs.get(id);
  // It has failed, which was told.
  if (blob === undefined) return;
  const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  writeAll(blob.fd, chunks);
  for (const chunk of chunks) blob.hash.update(chunk);
  // Frees the bytes now: this thread has so little else to collect that it would keep a hundred megabytes of them.
  for (const { buffer } of chunks) buffer.transfer(0);
  blob.size += bytes;
  post({ type: "taken", id, bytes });
}

function writeAll(fd: number, chunks: readonly Uint8Array[]): void {
  const rest = [...chunks];
  while (rest.length > 0) {
    let written = writevSync(fd, rest);
    for (let first = rest[0]; first !== undefined && written >= first.length; first = rest[0]) {
      written -= first.length;
      rest.shift();
    }
    if (rest[0] !== undefined) rest[0] = rest[0].subarray(written);
  }
}

async function finish(id: number): Promise<void> {
  const blob = blobs.get(id);
  if (blob === undefined) return;
  await sync(blob.fd);
  close(id);
  post({ type: "finished", id, digest: `sha256:${blob.hash.digest("hex")}`, size: blob.size });
}

function close(id: number): void {
  const blob = blobs.get(id);
  blobs.delete(id);
  if (blob !== undefined) closeSync(blob.fd);
}

function post(message: FromBlobThread): void {
  parentPort?.postMessage(message, []);
}
