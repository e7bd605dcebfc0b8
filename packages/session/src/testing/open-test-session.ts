import { duplexPair } from "node:stream";
import { LocalSessionManager } from "../local-session-manager.ts";
import type { Attachable } from "../serving/client-session.ts";
import { ClientSession } from "../serving/client-session.ts";
import type { SessionCaller } from "../session.ts";

/** Both ends of a session in one process, connected by a pipe. */
export interface TestSession extends AsyncDisposable {
  readonly manager: LocalSessionManager;
  readonly caller: SessionCaller;
}

/** Opens a session whose client serves the attachables. Disposal ends it and waits for both ends. */
export async function openTestSession(attachables: readonly Attachable[]): Promise<TestSession> {
  const controller = new AbortController();
  const { signal } = controller;
  const manager = new LocalSessionManager();
  const client = new ClientSession({ sharedKey: "test", attachables });
  const [daemonEnd, clientEnd] = duplexPair({ highWaterMark: 1 << 20 });
  const served = client.serve(clientEnd, { signal });
  const handled = manager.handle(daemonEnd, client.metadata, { signal });
  const caller = await manager.get(client.id, { signal });
  return {
    manager,
    caller,
    async [Symbol.asyncDispose](): Promise<void> {
      controller.abort(new DOMException("The test is over", "AbortError"));
      await Promise.all([served, handled]);
    },
  };
}
