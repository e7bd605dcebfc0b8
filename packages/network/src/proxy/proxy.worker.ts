import { parentPort, workerData } from "node:worker_threads";
import { enterNetworkNamespace } from "@buildkit-ts/sys";
import type { ServerIdentity } from "./certificate-authority.ts";
import type { MessageFromThread, MessageToThread, ProxyQuestion, ProxyThreadData } from "./proxy-messages.ts";
import { ProxyServer } from "./proxy-server.ts";

const port = parentPort;
if (port === null) throw new TypeError("This is for worker threads");
const { listenNamespace, host, egressNamespace } = workerData as ProxyThreadData;
const waiting = new Map<number, PromiseWithResolvers<unknown>>();
let questions = 0;

const send = (message: MessageFromThread): void => port.postMessage(message);

async function ask<T>(question: ProxyQuestion): Promise<T> {
  questions += 1;
  const asked = Promise.withResolvers<unknown>();
  waiting.set(questions, asked);
  send({ kind: "question", id: questions, question });
  return (await asked.promise) as T;
}

const server = new ProxyServer({
  check: async (request) => await ask<string | undefined>({ kind: "check", ...request }),
  identify: async (name) => await ask<ServerIdentity>({ kind: "identify", host: name }),
});

port.on("message", (message: MessageToThread) => {
  if (message.kind === "stop") {
    server.stop().then(
      (report) => send({ kind: "report", report }),
      // Without a report the daemon knows that something went wrong.
      () => port.close(),
    );
    return;
  }
  const asked = waiting.get(message.id);
  waiting.delete(message.id);
  if (message.kind === "answer") asked?.resolve(message.answer);
  else asked?.reject(new Error("refused"));
});

/** A listening socket, and what it accepts, stays in the namespace that it was made in. Connections to servers are made later. */
async function listen(): Promise<void> {
  enterNetworkNamespace(listenNamespace);
  const listening = await server.listen(host);
  enterNetworkNamespace(egressNamespace);
  send({ kind: "listening", port: listening });
}

listen().catch((error: unknown) => {
  // Out of the promise, so that it ends the thread.
  setImmediate(() => {
    throw error;
  });
});
