import { Scope } from "./scope.ts";

interface Flight<T> {
  readonly scope: Scope;
  readonly promise: Promise<T>;
  waiters: number;
}

/**
 * Work that is done once for all who want its outcome.
 *
 *     idle ──run()──▶ in flight ──success──▶ done (the value stays)
 *      ▲                  │
 *      └── failure, or the last waiter left ──┘
 *
 * A waiter that is aborted only leaves; the work's scope is aborted when the last one has left. The work starts in a
 * microtask of its own, so that tasks may wait for tasks to any depth without using the call stack.
 */
export class SharedTask<T> {
  readonly #work: (scope: Scope) => Promise<T>;
  #flight: Flight<T> | undefined;
  #done: { readonly value: T } | undefined;
  #last: Promise<unknown> | undefined;

  constructor(work: (scope: Scope) => Promise<T>) {
    this.#work = work;
  }

  /** The outcome, if it is there already. */
  get done(): { readonly value: T } | undefined {
    return this.#done;
  }

  get busy(): boolean {
    return this.#flight !== undefined;
  }

  /** Forgets the outcome: the next `run()` does the work again. */
  reset(): void {
    this.#done = undefined;
  }

  /** Resolves when no work is being done any more, also work that nobody waits for. */
  async settled(): Promise<void> {
    await this.#last;
  }

  run(waiter: Scope): Promise<T> {
    if (this.#done !== undefined) return Promise.resolve(this.#done.value);
    return this.#wait(waiter);
  }

  async #wait(waiter: Scope): Promise<T> {
    waiter.throwIfAborted();
    this.#flight ??= this.#start();
    const flight = this.#flight;
    flight.waiters += 1;
    const { promise: left, reject } = Promise.withResolvers<never>();
    const off = waiter.onAbort(() => reject(waiter.reason as Error));
    try {
      return await Promise.race([flight.promise, left]);
    } finally {
      off();
      flight.waiters -= 1;
      if (flight.waiters === 0 && this.#flight === flight) {
        // Whoever comes now must not join work that is being aborted.
        this.#flight = undefined;
        flight.scope.abort(waiter.aborted ? waiter.reason : new DOMException("No waiter is left", "AbortError"));
      }
    }
  }

  #start(): Flight<T> {
    const scope = new Scope();
    const previous = this.#last;
    const promise = Promise.resolve(previous).then(
      () => this.#body(scope),
      () => this.#body(scope),
    );
    const flight: Flight<T> = { scope, promise, waiters: 0 };
    this.#last = promise.then(
      () => this.#finish(flight),
      () => this.#finish(flight),
    );
    return flight;
  }

  async #body(scope: Scope): Promise<T> {
    // Work that was given up may have come to its end all the same.
    if (this.#done !== undefined) return this.#done.value;
    scope.throwIfAborted();
    try {
      const value = await this.#work(scope);
      this.#done = { value };
      return value;
    } finally {
      // What the work still waits for, such as the siblings of a failed input, is left now.
      scope.abort(new DOMException("The work has ended", "AbortError"));
    }
  }

  #finish(flight: Flight<T>): void {
    if (this.#flight === flight) this.#flight = undefined;
  }
}
