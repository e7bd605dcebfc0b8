import type { Clock } from "../clock.ts";

/** Time passes when the test says so. */
export class ManualClock implements Clock {
  #now = 0;
  #sleeping: { readonly until: number; readonly wake: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  async sleep(ms: number, options: { readonly signal: AbortSignal }): Promise<void> {
    options.signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const sleeper = { until: this.#now + ms, wake: resolve };
    const onAbort = (): void => {
      this.#sleeping = this.#sleeping.filter((other) => other !== sleeper);
      reject(options.signal.reason as Error);
    };
    options.signal.addEventListener("abort", onAbort, { once: true });
    this.#sleeping.push(sleeper);
    await promise;
  }

  /** Resolves when somebody waits for this much more time to pass. */
  async whenSleeping(ms: number): Promise<void> {
    while (!this.#sleeping.some(({ until }) => until === this.#now + ms)) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Lets time pass, and then those run who waited for it. */
  async advance(ms: number): Promise<void> {
    this.#now += ms;
    const due = this.#sleeping.filter(({ until }) => until <= this.#now);
    this.#sleeping = this.#sleeping.filter(({ until }) => until > this.#now);
    for (const { wake } of due) wake();
    await new Promise((resolve) => setImmediate(resolve));
  }
}
