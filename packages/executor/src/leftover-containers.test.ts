import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Clock } from "@buildkit-ts/async";
import { LeftoverContainers } from "./leftover-containers.ts";

/** A clock whose sleepers are woken one after the other. */
function steppedClock(): { readonly clock: Clock; readonly slept: number[]; readonly step: () => Promise<void> } {
  const slept: number[] = [];
  let wake: (() => void) | undefined;
  const sleep: Clock["sleep"] = async (ms, { signal }) => {
    slept.push(ms);
    await new Promise<void>((resolve, reject) => {
      wake = resolve;
      signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
    });
  };
  const step = async (): Promise<void> => {
    wake?.();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { clock: { now: () => 0, sleep }, slept, step };
}

suite("LeftoverContainers", () => {
  test("tries again, each time later, until nothing is left", async () => {
    const { clock, slept, step } = steppedClock();
    const tried: string[] = [];
    await using leftovers = new LeftoverContainers(clock, async (id) => {
      tried.push(id);
      await Promise.resolve();
      if (id === "a" && tried.length < 4) throw new Error("the disk fails");
    });
    for (const id of ["a", "b"]) leftovers.add(id);
    for (let i = 0; i < 5; i += 1) await step();
    assert.deepEqual(tried, ["a", "b", "a", "a"]);
    assert.deepEqual(slept, [500, 1000, 2000]);
    leftovers.add("c");
    await step();
    assert.deepEqual(tried.at(-1), "c");
  });

  test("tries no more once it is disposed", async () => {
    const { clock, step } = steppedClock();
    const leftovers = new LeftoverContainers(clock, async () => await Promise.reject(new Error("never")));
    leftovers.add("a");
    await step();
    await leftovers[Symbol.asyncDispose]();
  });
});
