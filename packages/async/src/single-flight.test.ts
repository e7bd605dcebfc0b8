import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { SingleFlight } from "./single-flight.ts";

const turn = async (): Promise<void> => await new Promise((resolve) => setImmediate(resolve));

suite("SingleFlight", () => {
  test("does work once for all who ask meanwhile, and again for who asks later", async () => {
    const flights = new SingleFlight<string, number>();
    const { signal } = new AbortController();
    let works = 0;
    const work = async (): Promise<number> => {
      await turn();
      return (works += 1);
    };
    const ask = async (): Promise<number> => await flights.run("key", work, { signal });
    assert.deepEqual(await Promise.all([ask(), ask()]), [1, 1]);
    assert.equal(await ask(), 2);
  });

  test("lets a waiter leave at once while others wait", async () => {
    const flights = new SingleFlight<string, number>();
    const [leaving, staying] = [new AbortController(), new AbortController()];
    const { promise, resolve } = Promise.withResolvers<number>();
    const stays = flights.run("key", async () => await promise, staying);
    const leaves = flights.run("key", async () => await promise, leaving);
    leaving.abort(new Error("left"));
    await assert.rejects(leaves, /left/);
    resolve(1);
    assert.equal(await stays, 1);
  });

  test("lets the last waiter leave only when the work has ended, and the next work begins after it", async () => {
    const flights = new SingleFlight<string, string>();
    const [first, next] = [new AbortController(), new AbortController()];
    const ended = Promise.withResolvers<void>();
    const log: string[] = [];
    const slow = async (signal: AbortSignal): Promise<string> => {
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      log.push("told");
      await ended.promise;
      log.push("ended");
      signal.throwIfAborted();
      return "in vain";
    };
    const left = assert.rejects(flights.run("key", slow, first), /left/).then(() => log.push("left"));
    first.abort(new Error("left"));
    await turn();
    const again = flights.run("key", async () => await Promise.resolve(`after ${log.join()}`), next);
    await turn();
    assert.deepEqual(log, ["told"]);
    ended.resolve();
    await left;
    assert.equal(await again, "after told,ended");
    assert.deepEqual(log, ["told", "ended", "left"]);
  });

  test("lets who waits for an end leave too", async () => {
    const flights = new SingleFlight<string, void>();
    const [first, next] = [new AbortController(), new AbortController()];
    const ended = Promise.withResolvers<void>();
    const left = assert.rejects(
      flights.run("key", async () => await ended.promise, first),
      /first/,
    );
    first.abort(new Error("first"));
    await turn();
    const waiting = flights.run("key", async () => assert.fail("nobody wants it"), next);
    next.abort(new Error("next"));
    await assert.rejects(waiting, /next/);
    ended.resolve();
    await left;
  });
});
