/**
 * Limits how many holders there are at once; waiters are served in the order of their arrival.
 *
 * A permit is held with `using`; releasing it twice does nothing.
 */
export class Semaphore {
  #free: number;
  readonly #waiters: (() => void)[] = [];

  /** @param permits How many holders are allowed; `Infinity` for no limit. */
  constructor(permits: number) {
    this.#free = permits;
  }

  async acquire(options: { readonly signal: AbortSignal }): Promise<Disposable> {
    const { signal } = options;
    signal.throwIfAborted();
    if (this.#free > 0) {
      this.#free -= 1;
      return this.#permit();
    }
    await new Promise<void>((resolve, reject) => {
      const wake = (): void => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      };
      const onAbort = (): void => {
        const index = this.#waiters.indexOf(wake);
        if (index >= 0) this.#waiters.splice(index, 1);
        reject(signal.reason as Error);
      };
      this.#waiters.push(wake);
      signal.addEventListener("abort", onAbort, { once: true });
    });
    return this.#permit();
  }

  #permit(): Disposable {
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        // The permit goes straight to the next waiter: returning it to the pool first would let a newcomer overtake.
        const next = this.#waiters.shift();
        if (next === undefined) this.#free += 1;
        else next();
      },
    };
  }
}
