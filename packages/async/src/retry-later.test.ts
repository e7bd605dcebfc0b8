import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { RetryLater } from "./retry-later.ts";
import { ManualClock } from "./testing/index.ts";

/** Work that fails for as long as a key is said to be broken. */
function scene(): {
  readonly clock: ManualClock;
  readonly broken: Set<string>;
  readonly tried: string[];
  readonly told: string[];
  readonly work: RetryLater<string>;
} {
  const clock = new ManualClock();
  const [broken, tried, told] = [new Set<string>(), [] as string[], [] as string[]];
  const attempt = async (key: string): Promise<void> => {
    tried.push(key);
    if (broken.has(key)) throw new Error(`${key} is broken`);
    await Promise.resolve();
  };
  const onFirstFailure = (error: unknown, key: string): void => void told.push(`${key}: ${String(error)}`);
  return { clock, broken, tried, told, work: new RetryLater({ attempt, onFirstFailure, clock }) };
}

suite("RetryLater", () => {
  test("run() does at once what can be done, and waits for nothing", async () => {
    const { work, tried, told } = scene();
    await work.run("a");
    assert.deepEqual([tried, told, [...work.left]], [["a"], [], []]);
    await work[Symbol.asyncDispose]();
  });

  test("tries again after longer and longer times, and tells of a failure once", async () => {
    const { work, clock, broken, tried, told } = scene();
    broken.add("a");
    await work.run("a");
    for (const delayMs of [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]) {
      await clock.whenSleeping(delayMs);
      const before = tried.length;
      await clock.advance(delayMs - 1);
      assert.equal(tried.length, before);
      await clock.advance(1);
      while (tried.length === before) await Promise.resolve();
    }
    assert.deepEqual([told, [...work.left]], [["a: Error: a is broken"], ["a"]]);
    broken.clear();
    await clock.whenSleeping(60_000);
    await clock.advance(60_000);
    while (work.left.size > 0) await Promise.resolve();
    await work[Symbol.asyncDispose]();
  });

  test("begins with short times again when something was done", async () => {
    const { work, clock, broken } = scene();
    for (const key of ["a", "b"]) {
      broken.add(key);
      await work.run(key);
    }
    await clock.whenSleeping(1000);
    await clock.advance(1000);
    await clock.whenSleeping(2000);
    broken.delete("a");
    await clock.advance(2000);
    await clock.whenSleeping(1000);
    assert.deepEqual([...work.left], ["b"]);
    await work[Symbol.asyncDispose]();
  });

  test("retry() tries at once, but not twice within a second", async () => {
    const { work, clock, broken, tried } = scene();
    broken.add("a");
    await work.run("a");
    await work.retry();
    assert.deepEqual(tried, ["a"]);
    await clock.whenSleeping(1000);
    await clock.advance(999);
    await work.retry();
    assert.deepEqual(tried, ["a"]);
    broken.clear();
    await clock.advance(1);
    await work.retry();
    assert.deepEqual([tried, [...work.left]], [["a", "a"], []]);
    await work[Symbol.asyncDispose]();
  });

  test("tells again of what fails after it was done", async () => {
    const { work, broken, told } = scene();
    broken.add("a");
    await work.run("a");
    broken.clear();
    await work.run("a");
    broken.add("a");
    await work.run("a");
    assert.equal(told.length, 2);
    await work[Symbol.asyncDispose]();
  });

  test("disposal leaves undone what is left, and ends the waiting", async () => {
    const { work, broken, tried } = scene();
    broken.add("a");
    await work.run("a");
    await work[Symbol.asyncDispose]();
    await work.run("a");
    assert.deepEqual([tried, [...work.left]], [["a", "a"], ["a"]]);
  });
});
