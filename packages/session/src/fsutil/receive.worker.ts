import { parentPort } from "node:worker_threads";
import { BuildError } from "@buildkit-ts/errdefs";
import { ReceiveEngine } from "./receive-engine.ts";
import type { FromReceiver, ToReceiver } from "./receive-protocol.ts";

// Every receiving connection of the process is dealt with on this thread: writing files is synchronous, and the daemon's
// event loop must not wait for a disk.
const engines = new Map<number, ReceiveEngine>();

parentPort?.on("message", (message: ToReceiver) => {
  try {
    handle(message);
  } catch (error) {
    drop(message.id);
    const known = BuildError.from(error);
    post({ type: "failed", id: message.id, code: known.code, message: known.message });
  }
});

function handle(message: ToReceiver): void {
  switch (message.type) {
    case "start":
      engines.set(message.id, new ReceiveEngine(message.options));
      return;
    case "data":
      receive(message);
      return;
    case "stop":
      drop(message.id);
      return;
    default:
      message satisfies never;
  }
}

function receive({ id, buffer, length }: ToReceiver & { readonly type: "data" }): void {
  const engine = engines.get(id);
  if (engine === undefined) return;
  const output = engine.push(Buffer.from(buffer, 0, length));
  const send = output.length > 0 ? Uint8Array.from(output) : undefined;
  const result = engine.isDone ? engine.result : undefined;
  if (result !== undefined) drop(id);
  post({ type: "progress", id, buffer, taken: length, received: engine.bytes, send, result }, [buffer]);
}

function drop(id: number): void {
  const engine = engines.get(id);
  engines.delete(id);
  engine?.[Symbol.dispose]();
}

function post(message: FromReceiver, moved: readonly ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, [...moved]);
}
