import { parentPort } from "node:worker_threads";
import { BuildError } from "@buildkit-ts/errdefs";
import { ReceiveEngine } from "./receive-engine.ts";
import type { FromReceiver, ToReceiver } from "./receive-protocol.ts";

type DataMessage = ToReceiver & { readonly type: "data" };

interface Connection extends Disposable {
  readonly engine: ReceiveEngine;
  /** What came while the engine waits for a destination, the message first in which it began to. */
  readonly waiting: DataMessage[];
}

// Every receiving connection of the process is dealt with on this thread: writing files is synchronous, and the daemon's
// event loop must not wait for a disk.
const connections = new Map<number, Connection>();

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
      connections.set(message.id, connect(new ReceiveEngine(message.options)));
      return;
    case "data":
      receive(message);
      return;
    case "destination":
      goOn(message);
      return;
    case "stop":
      drop(message.id);
      post({ type: "stopped", id: message.id });
      return;
    default:
      message satisfies never;
  }
}

function connect(engine: ReceiveEngine): Connection {
  return { engine, waiting: [], [Symbol.dispose]: () => engine[Symbol.dispose]() };
}

function receive(message: DataMessage): void {
  const connection = connections.get(message.id);
  if (connection === undefined) return;
  const { engine, waiting } = connection;
  if (engine.needsDestination) {
    waiting.push(message);
    return;
  }
  const output = engine.push(Buffer.from(message.buffer, 0, message.length));
  if (!engine.needsDestination) {
    answer(message, engine, output);
    return;
  }
  // It is answered when all of it is dealt with: until then the sender is held back.
  waiting.push(message);
  post({ type: "changed", id: message.id });
}

function goOn({ id, destination }: ToReceiver & { readonly type: "destination" }): void {
  const connection = connections.get(id);
  if (connection === undefined) return;
  const [first, ...others] = connection.waiting.splice(0);
  const output = connection.engine.useDestination(destination);
  if (first !== undefined) answer(first, connection.engine, output);
  for (const message of others) receive(message);
}

/** Gives the buffer back and tells how far it is. */
function answer({ id, buffer, length }: DataMessage, engine: ReceiveEngine, output: Buffer): void {
  const send = output.length > 0 ? Uint8Array.from(output) : undefined;
  const expected = engine.takeExpected();
  const result = engine.isDone ? engine.result : undefined;
  if (result !== undefined) drop(id);
  post({ type: "progress", id, buffer, taken: length, received: engine.bytes, send, expected, result }, [buffer]);
}

function drop(id: number): void {
  const connection = connections.get(id);
  connections.delete(id);
  connection?.[Symbol.dispose]();
}

function post(message: FromReceiver, moved: readonly ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, [...moved]);
}
