import assert from "node:assert/strict";
import { duplexPair } from "node:stream";
import { suite, test } from "node:test";
import { Health, HealthCheckResponse_ServingStatus } from "@buildkit-ts/api/grpc/health";
import { ManualClock } from "@buildkit-ts/async/testing";
import { BuildError } from "@buildkit-ts/errdefs";
import { getSecret } from "./get-secret.ts";
import { defaultHealthPolicy, HealthWatch, healthPolicy } from "./health-watch.ts";
import { LocalSessionManager } from "./local-session-manager.ts";
import { ClientSession } from "./serving/client-session.ts";

const { signal } = new AbortController();
const never = new Promise<void>(() => undefined);

/** A watch whose client answers as it is told, and what became of it. */
function watched(check: (asked: number) => Promise<void>, policy = defaultHealthPolicy) {
  const clock = new ManualClock();
  const state: { asked: number; receivedBytes: number; failure: BuildError | undefined } = {
    asked: 0,
    receivedBytes: 0,
    failure: undefined,
  };
  const watch = new HealthWatch({
    policy,
    clock,
    check: async () => {
      state.asked += 1;
      await check(state.asked);
    },
    receivedBytes: () => state.receivedBytes,
  });
  watch.run({ signal }).catch((error: unknown) => {
    state.failure = BuildError.from(error);
  });
  return { clock, state };
}

suite("HealthWatch", () => {
  test("asks every five seconds", async () => {
    const { clock, state } = watched(async () => undefined);
    await clock.advance(4999);
    assert.equal(state.asked, 0);
    await clock.advance(1);
    assert.equal(state.asked, 1);
    for (let seconds = 0; seconds < 60; seconds += 5) await clock.advance(5000);
    assert.equal(state.asked, 13);
    assert.ok(state.failure === undefined);
  });

  test("gives up after two failures in a row, of 15 seconds and half as long again", async () => {
    const { clock, state } = watched(async () => await never);
    await clock.advance(5000);
    await clock.advance(15_000);
    assert.ok(state.failure === undefined);
    await clock.advance(5000);
    assert.equal(state.asked, 2);
    await clock.advance(22_499);
    assert.ok(state.failure === undefined);
    await clock.advance(1);
    assert.match(String(state.failure), /did not answer within/);
  });

  test("forgets a failure when an answer comes", async () => {
    const { clock, state } = watched(async (asked) => {
      if (asked % 2 === 1) throw new BuildError("unavailable", "not now");
    });
    for (let asked = 0; asked < 20; asked += 1) await clock.advance(5000);
    assert.equal(state.asked, 20);
    assert.ok(state.failure === undefined);
  });

  test("does not give up a client that is slow, as long as something comes", async () => {
    const { clock, state } = watched(async () => await never);
    let timeoutMs = 15_000;
    for (let asked = 0; asked < 10; asked += 1) {
      await clock.advance(5000);
      state.receivedBytes += 10_000;
      await clock.advance(timeoutMs);
      timeoutMs *= 1.5;
    }
    assert.equal(state.asked, 10);
    assert.ok(state.failure === undefined);
    for (const ms of [5000, timeoutMs, 5000, timeoutMs * 1.5]) await clock.advance(ms);
    assert.match(String(state.failure), /did not answer within/);
  });

  test("gives up at once a client that says that it is not well, however much comes", async () => {
    const { clock, state } = watched(
      async () => {
        state.receivedBytes += 10_000;
        throw new BuildError("unavailable", "does not serve");
      },
      { ...defaultHealthPolicy, failures: 1 },
    );
    await clock.advance(5000);
    assert.equal(state.failure?.message, "does not serve");
  });
});

test("healthPolicy() takes what a client asks for, from a second on, and gives up at the first failure then", () => {
  assert.deepEqual(healthPolicy("2500"), { intervalMs: 2500, timeoutMs: 2500, failures: 1 });
  assert.deepEqual(healthPolicy("1"), { intervalMs: 1000, timeoutMs: 1000, failures: 1 });
  for (const none of [undefined, "", "0", "-5", "1e9", "soon"]) assert.equal(healthPolicy(none), defaultHealthPolicy);
});

test("a session ends, and what waits for its client fails, when the client does not answer any more", async () => {
  const clock = new ManualClock();
  const manager = new LocalSessionManager({ clock });
  let isAlive = true;
  const client = new ClientSession({
    sharedKey: "",
    attachables: [
      (server) =>
        server.handleUnary(Health.method.check, async () => {
          if (!isAlive) await never;
          return { status: HealthCheckResponse_ServingStatus.SERVING };
        }),
    ],
  });
  const [daemonEnd, clientEnd] = duplexPair();
  const controller = new AbortController();
  const served = client.serve(clientEnd, { signal: controller.signal });
  const handled = manager.handle(daemonEnd, client.metadata, { signal });
  const session = await manager.get(client.id, { signal });
  await clock.advance(5000);
  await clock.whenSleeping(5000);
  isAlive = false;
  await assert.rejects(getSecret(session, "none", { signal }), { code: "not_found" });
  for (const timeoutMs of [15_000, 22_500]) {
    await clock.whenSleeping(5000);
    await clock.advance(5000);
    await clock.whenSleeping(timeoutMs);
    assert.equal(session.closed.aborted, false);
    await clock.advance(timeoutMs);
  }
  await handled;
  assert.match(String(session.closed.reason), /session .* was closed/);
  await assert.rejects(getSecret(session, "none", { signal }), { code: "unavailable" });
  await assert.rejects(manager.get(client.id, { signal, timeoutMs: 1 }), { code: "not_found" });
  controller.abort(new DOMException("The test is over", "AbortError"));
  await served;
});
