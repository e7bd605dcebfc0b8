import assert from "node:assert/strict";
import { test } from "node:test";
import { Turns } from "./testing/turns.ts";

/** The order in which some go on who wait at the same time. */
async function orderOf(seed: number): Promise<number[]> {
  const turns = new Turns(seed);
  const order: number[] = [];
  const waiting = [0, 1, 2, 3, 4].map(async (i) => {
    await turns.take();
    order.push(i);
  });
  await turns.finish(Promise.all(waiting));
  return order;
}

test("Turns give the same order for the same seed, and others for others", async () => {
  const orders = await Promise.all([1, 1, 2, 3, 4].map(async (seed) => (await orderOf(seed)).join()));
  assert.equal(orders[0], orders[1]);
  assert.ok(new Set(orders).size > 2);
});

test("Turns notice that nobody can ever go on", async () => {
  const turns = new Turns(1);
  const work = (async () => {
    await turns.take();
    await new Promise(() => undefined);
  })();
  await assert.rejects(turns.finish(work), /waits for nothing/);
});
