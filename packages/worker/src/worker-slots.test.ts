import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { FairSemaphore } from "@buildkit-ts/async";
import type { StatusUpdate } from "@buildkit-ts/progress";
import { noProgress } from "@buildkit-ts/progress";
import type { OpContext } from "@buildkit-ts/solver";
import { buildLimitKey, WorkerSlots } from "./worker-slots.ts";

const { signal } = new AbortController();

interface Build {
  readonly job: object;
  readonly limit?: FairSemaphore;
}

function contextOf(builds: readonly Build[], statuses: StatusUpdate[] = []): OpContext {
  const values: Readonly<Record<string, readonly unknown[]>> = {
    job: builds.map(({ job }) => job),
    [buildLimitKey]: builds.flatMap(({ limit }) => limit ?? []),
  };
  const progress = { ...noProgress, status: (update: StatusUpdate) => void statuses.push(update) };
  return { signal, progress, sessions: () => [], values: (key) => values[key] ?? [] };
}

/** Whether the place could be had at once. */
async function isHadAtOnce(waiting: Promise<Disposable>): Promise<boolean> {
  const later = new Promise<undefined>((resolve) => setImmediate(() => resolve(undefined)));
  return (await Promise.race([waiting, later])) !== undefined;
}

suite("WorkerSlots", () => {
  test("lets no more steps work than it has places, and says who waits", async () => {
    const slots = new WorkerSlots(1);
    const statuses: StatusUpdate[] = [];
    const first = await slots.acquire(contextOf([{ job: {} }]));
    const second = slots.acquire(contextOf([{ job: {} }], statuses));
    assert.equal(await isHadAtOnce(second), false);
    assert.deepEqual(
      statuses.map(({ id, completed }) => [id, completed]),
      [["waiting for other steps", undefined]],
    );
    first[Symbol.dispose]();
    using _held = await second;
    assert.equal(typeof statuses.at(-1)?.completed, "number");
  });

  test("holds a build to its own limit, and others not", async () => {
    const slots = new WorkerSlots(0);
    const limited = { job: {}, limit: new FairSemaphore(1) };
    using _first = await slots.acquire(contextOf([limited]));
    const second = slots.acquire(contextOf([limited]));
    assert.equal(await isHadAtOnce(second), false);
    using _other = await slots.acquire(contextOf([{ job: {} }]));
    // Somebody without a limit waits for this one too.
    using _shared = await slots.acquire(contextOf([limited, { job: {} }]));
  });
});
