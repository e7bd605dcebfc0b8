import { type EventLoopUtilization, performance } from "node:perf_hooks";
import type { Clock, ErrorReporter } from "@buildkit-ts/async";
import { limitAllocator, releaseFreedMemory } from "@buildkit-ts/sys";

/** How often it looks whether the daemon is at rest; longer than worker threads wait for more work. */
const intervalMs = 6000;
/** A daemon that is busy for less of the interval is at rest. */
const restingUtilization = 0.02;
/** As much work as leaves memory behind that is worth the collection of it. */
const worthwhileMs = 30;

/** After how many intervals of rest memory is given back: at once, and when threads that waited for more work have ended. */
const collectedAt: readonly number[] = [1, 8];

const allocator = { ownMappingBytes: 256 << 10, pools: 2 };

/**
 * Gives memory back that builds have left, whenever the daemon comes to rest.
 *
 *     at rest ──work──▶ busy ──intervals without work──▶ collected ──▶ at rest
 *
 * V8 sees much memory free and lets garbage lie, and the C library keeps what was freed for later. Neither knows that no
 * build may come for hours.
 */
export class MemoryKeeper implements AsyncDisposable {
  readonly #clock: Clock;
  readonly #measure: () => EventLoopUtilization;
  readonly #stopped = new AbortController();
  readonly #ended: Promise<void>;
  #busyMs = 0;
  #restedIntervals = 0;

  constructor(options: {
    readonly clock: Clock;
    readonly reporter: ErrorReporter;
    /** How long this thread has worked and waited in all. */
    readonly measure?: () => EventLoopUtilization;
  }) {
    this.#clock = options.clock;
    this.#measure = options.measure ?? performance.eventLoopUtilization.bind(performance);
    limitAllocator(allocator);
    this.#ended = this.#watch().catch((error: unknown) => {
      if (!this.#stopped.signal.aborted) options.reporter.report(error, "release of memory");
    });
  }

  async #watch(): Promise<void> {
    const { signal } = this.#stopped;
    for (let last = this.#measure(); ; ) {
      await this.#clock.sleep(intervalMs, { signal });
      const now = this.#measure();
      const active = now.active - last.active;
      const isResting = active <= restingUtilization * (active + now.idle - last.idle);
      last = now;
      this.#busyMs += active;
      if (!isResting) this.#restedIntervals = 0;
      else if (this.#busyMs >= worthwhileMs) {
        await this.#rest();
        last = this.#measure();
      }
    }
  }

  async #rest(): Promise<void> {
    this.#restedIntervals += 1;
    if (collectedAt.includes(this.#restedIntervals)) await collect();
    if (this.#restedIntervals >= Math.max(...collectedAt)) {
      this.#restedIntervals = 0;
      this.#busyMs = 0;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped.abort(new Error("The daemon is stopping"));
    await this.#ended;
  }
}

async function collect(): Promise<void> {
  // There only with --expose-gc, which both ways to start the daemon give.
  // As if there were no more memory: an ordinary collection keeps the pages that it has emptied. It takes twice as long, some
  // 100 ms of a daemon that has nothing to do, twice after each time of work.
  globalThis.gc?.({ type: "major", execution: "sync", flavor: "last-resort" });
  await releaseFreedMemory();
}
