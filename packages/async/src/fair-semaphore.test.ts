import assert from "node:assert/strict";
import { test } from "node:test";
import { FairSemaphore } from "./fair-semaphore.ts";

const { signal } = new AbortController();

/** Everybody asks at once; each gives the permit back as soon as it was seen. Gives the order of service. */
async function serve(permits: number, asks: readonly (readonly [owner: object, name: string])[]): Promise<string[]> {
  const semaphore = new FairSemaphore(permits);
  const order: string[] = [];
  await Promise.all(
    asks.map(async ([owner, name]) => {
      using _permit = await semaphore.acquire({ signal, owner });
      order.push(name);
      await new Promise((resolve) => setImmediate(resolve));
    }),
  );
  assert.equal(semaphore.isFree, true);
  return order;
}

test("FairSemaphore serves an owner who comes last before another one's many", async () => {
  const [large, small] = [{}, {}];
  const asks = Array.from({ length: 20 }, (_, i) => [large, `large ${i}`] as const);
  const order = await serve(1, [...asks, [small, "small"]]);
  assert.deepEqual(order.slice(0, 3), ["large 0", "small", "large 1"]);
  assert.equal(order.length, 21);
});

test("FairSemaphore takes turns between owners, each in its own order", async () => {
  const [a, b, c] = [{}, {}, {}];
  const asks = [a, b, c].flatMap((owner, i) => [0, 1, 2].map((n) => [owner, `${"abc"[i]}${n}`] as const));
  assert.deepEqual(await serve(1, asks), ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]);
});

test("FairSemaphore never gives out more than its permits, and forgets who leaves", async () => {
  const semaphore = new FairSemaphore(2);
  const [one, two] = [{}, {}];
  const first = await semaphore.acquire({ signal, owner: one });
  const second = await semaphore.acquire({ signal, owner: one });
  const leaving = new AbortController();
  const left = semaphore.acquire({ signal: leaving.signal, owner: two });
  const waiting = semaphore.acquire({ signal, owner: one });
  leaving.abort(new Error("left"));
  await assert.rejects(left, /left/);
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  using third = await waiting;
  assert.equal(semaphore.isFree, false);
  second[Symbol.dispose]();
  third[Symbol.dispose]();
  assert.equal(semaphore.isFree, true);
});
