/** What {@linkcode DeferredWrites} are made with. */
export interface DeferredWritesOptions {
  /** Runs all writes of a turn in one transaction. */
  readonly transaction: (body: () => void) => void;
  readonly onFailure: (error: unknown) => void;
  /** How long a write may wait. */
  readonly delayMs: number;
}

/**
 * Writes that may be lost with the process, such as times of last use: gathered, and made in one transaction a moment
 * later. A commit costs some hundred times what a write in it costs.
 */
export class DeferredWrites {
  readonly #options: DeferredWritesOptions;
  #writes = new Map<unknown, () => void>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: DeferredWritesOptions) {
    this.#options = options;
  }

  /** Adds a write in place of the one with the same key. */
  add(key: unknown, write: () => void): void {
    this.#writes.set(key, write);
    // The process need not live for them: who ends in order flushes.
    this.#timer ??= setTimeout(() => this.flush(), this.#options.delayMs).unref();
  }

  /** Makes all writes now. Failures are reported, and what failed is given up. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const writes = this.#writes;
    this.#writes = new Map();
    if (writes.size === 0) return;
    try {
      this.#options.transaction(() => {
        for (const write of writes.values()) write();
      });
    } catch (error) {
      this.#options.onFailure(error);
    }
  }
}
