import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { ManualClock } from "@buildkit-ts/async/testing";
import { IdlePool } from "./idle-pool.ts";

function fixture(targetSize = 0) {
  let made = 0;
  const released: number[] = [];
  const clock = new ManualClock();
  const failures: unknown[] = [];
  const pool = new IdlePool<number>({
    create: async () => {
      made += 1;
      return made;
    },
    release: async (member) => void released.push(member),
    targetSize,
    graceMs: 100,
    clock,
    reporter: { report: (error) => void failures.push(error) },
  });
  return { pool, clock, released, failures, made: () => made };
}

suite("IdlePool", () => {
  test("gives what was put back before it makes another one", async () => {
    const { pool, made } = fixture();
    await using _pool = pool;
    await pool.put(await pool.take());
    assert.equal(await pool.take(), 1);
    assert.equal(await pool.take(), 2);
    assert.equal(made(), 2);
  });

  test("releases what nobody took within the grace, the longest idle first", async () => {
    const { pool, clock, released } = fixture();
    await using _pool = pool;
    const [first, second] = [await pool.take(), await pool.take()];
    await pool.put(first);
    await clock.advance(60);
    await pool.put(second);
    assert.deepEqual(released, []);
    await clock.advance(40);
    assert.deepEqual(released, [1]);
    await clock.advance(60);
    assert.deepEqual(released, [1, 2]);
  });

  test("keeps as many as its target for good, and makes them ahead", async () => {
    const { pool, clock, released, made } = fixture(2);
    await using _pool = pool;
    await pool.fill();
    assert.equal(made(), 2);
    const members = [await pool.take(), await pool.take(), await pool.take()];
    for (const member of members) await pool.put(member);
    await clock.advance(1000);
    assert.equal(released.length, 1);
  });

  test("releases everything when it is disposed, also what is put back later", async () => {
    const { pool, released, failures } = fixture();
    const [first, second] = [await pool.take(), await pool.take()];
    await pool.put(first);
    await pool[Symbol.asyncDispose]();
    assert.deepEqual(released, [1]);
    await pool.put(second);
    assert.deepEqual(released, [1, 2]);
    assert.deepEqual(failures, []);
  });
});
