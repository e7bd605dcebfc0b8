import { Semaphore } from "@buildkit-ts/async";

/** One holder at a time for each key; keys that nobody holds or waits for take no memory. */
export class KeyedLocks {
  readonly #locks = new Map<string, { readonly semaphore: Semaphore; users: number }>();

  async acquire(key: string, options: { readonly signal: AbortSignal }): Promise<Disposable> {
    const lock = this.#locks.get(key) ?? { semaphore: new Semaphore(1), users: 0 };
    this.#locks.set(key, lock);
    lock.users += 1;
    const leave = (): void => {
      lock.users -= 1;
      if (lock.users === 0) this.#locks.delete(key);
    };
    try {
      const permit = await lock.semaphore.acquire(options);
      return {
        [Symbol.dispose]: () => {
          permit[Symbol.dispose]();
          leave();
        },
      };
    } catch (error) {
      leave();
      throw error;
    }
  }
}
