interface Waiter {
  readonly resolve: () => void;
  readonly owner: object;
}

/**
 * Limits how many holders there are at once, and shares the permits between owners.
 *
 * A permit goes to the owner that holds the fewest, of those to the one that was served longest ago: whoever asks for a
 * thousand at once does not keep others waiting. Within an owner the order of arrival counts.
 */
export class FairSemaphore {
  #free: number;
  readonly #waiting = new Map<object, Waiter[]>();
  readonly #held = new Map<object, number>();
  /** How many permits had been given out when an owner got its last one. */
  readonly #servedAt = new WeakMap<object, number>();
  #served = 0;

  /** @param permits How many holders are allowed; `Infinity` for no limit. */
  constructor(permits: number) {
    this.#free = permits;
  }

  /** Whether a permit can be had at once. */
  get isFree(): boolean {
    return this.#free > 0;
  }

  async acquire(options: { readonly signal: AbortSignal; readonly owner: object }): Promise<Disposable> {
    const { signal, owner } = options;
    signal.throwIfAborted();
    if (this.#free > 0) {
      this.#free -= 1;
      return this.#permit(owner);
    }
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => {
        this.#leave(waiter);
        reject(signal.reason as Error);
      };
      const waiter: Waiter = {
        owner,
        resolve: () => {
          signal.removeEventListener("abort", onAbort);
          resolve();
        },
      };
      const waiting = this.#waiting.get(owner);
      if (waiting === undefined) this.#waiting.set(owner, [waiter]);
      else waiting.push(waiter);
      signal.addEventListener("abort", onAbort, { once: true });
    });
    return this.#permit(owner);
  }

  #permit(owner: object): Disposable {
    this.#held.set(owner, (this.#held.get(owner) ?? 0) + 1);
    this.#servedAt.set(owner, ++this.#served);
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        const left = (this.#held.get(owner) ?? 1) - 1;
        if (left === 0) this.#held.delete(owner);
        else this.#held.set(owner, left);
        // The permit goes straight to the next waiter: returning it to the pool first would let a newcomer overtake.
        const next = this.#next();
        if (next === undefined) this.#free += 1;
        else next.resolve();
      },
    };
  }

  #next(): Waiter | undefined {
    let best: { readonly waiter: Waiter; readonly held: number; readonly servedAt: number } | undefined;
    for (const [owner, [waiter]] of this.#waiting) {
      if (waiter === undefined) continue;
      const [held, servedAt] = [this.#held.get(owner) ?? 0, this.#servedAt.get(owner) ?? 0];
      const isFirst = best === undefined || held < best.held || (held === best.held && servedAt < best.servedAt);
      if (isFirst) best = { waiter, held, servedAt };
    }
    if (best !== undefined) this.#leave(best.waiter);
    return best?.waiter;
  }

  #leave(waiter: Waiter): void {
    const waiting = this.#waiting.get(waiter.owner) ?? [];
    const index = waiting.indexOf(waiter);
    if (index >= 0) waiting.splice(index, 1);
    if (waiting.length === 0) this.#waiting.delete(waiter.owner);
  }
}
