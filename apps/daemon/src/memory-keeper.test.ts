import assert from "node:assert/strict";
import { test } from "node:test";
import type { Clock } from "@buildkit-ts/async";
import { MemoryKeeper } from "./memory-keeper.ts";

/** Time that passes when a test says so. */
class ManualClock implements Clock {
  #wake: (() => void) | undefined;
  #asleep = Promise.withResolvers<void>();

  now(): number {
    return 0;
  }

  async sleep(_ms: number, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#wake = resolve;
      signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
      this.#asleep.resolve();
    });
  }

  /** Ends the sleep that is going on, and waits for the next one to begin. */
  async pass(): Promise<void> {
    await this.#asleep.promise;
    this.#asleep = Promise.withResolvers();
    this.#wake?.();
    await this.#asleep.promise;
  }
}

test("MemoryKeeper collects when work has ended, and once more later", async (t) => {
  const original = globalThis.gc;
  let collections = 0;
  globalThis.gc = (() => {
    collections += 1;
  }) as NonNullable<typeof globalThis.gc>;
  t.after(() => (globalThis.gc = original));
  const reports: unknown[] = [];
  const clock = new ManualClock();
  const spent = { active: 0, idle: 0 };
  const measure = () => ({ ...spent, utilization: spent.active / (spent.active + spent.idle) });
  const reporter = { report: (error: unknown) => reports.push(error) };
  await using _keeper = new MemoryKeeper({ clock, reporter, measure });
  const pass = async (active: number): Promise<void> => {
    spent.active += active;
    spent.idle += 6000 - active;
    await clock.pass();
  };
  await pass(10);
  assert.equal(collections, 0, "so little work leaves nothing behind");
  await pass(3000);
  assert.equal(collections, 0, "it may go on");
  await pass(1);
  assert.equal(collections, 1);
  for (let interval = 0; interval < 20; interval++) await pass(1);
  assert.equal(collections, 2);
  assert.deepEqual(reports, []);
});
