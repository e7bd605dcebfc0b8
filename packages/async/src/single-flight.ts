interface Flight<T> {
  readonly controller: AbortController;
  readonly promise: Promise<T>;
  waiters: number;
}

/**
 * Runs work at most once per key at a time and gives its outcome to all who asked meanwhile.
 *
 * The work has a signal of its own: a waiter that aborts only leaves, and the work is aborted when the last one has left.
 */
export class SingleFlight<K, T> {
  readonly #flights = new Map<K, Flight<T>>();

  async run(key: K, work: (signal: AbortSignal) => Promise<T>, options: { readonly signal: AbortSignal }): Promise<T> {
    const { signal } = options;
    signal.throwIfAborted();
    const flight = this.#flights.get(key) ?? this.#start(key, work);
    flight.waiters += 1;
    try {
      return await abortable(flight.promise, signal);
    } finally {
      flight.waiters -= 1;
      if (flight.waiters === 0 && this.#flights.get(key) === flight) {
        this.#flights.delete(key);
        flight.controller.abort(signal.aborted ? signal.reason : new DOMException("No waiter is left", "AbortError"));
      }
    }
  }

  #start(key: K, work: (signal: AbortSignal) => Promise<T>): Flight<T> {
    const controller = new AbortController();
    const flight: Flight<T> = { controller, promise: this.#finish(key, work(controller.signal)), waiters: 0 };
    const { promise } = flight;
    // Waiters may all have left when the work fails; without this the failure would be unhandled.
    promise.catch(() => undefined);
    this.#flights.set(key, flight);
    return flight;
  }

  async #finish(key: K, work: Promise<T>): Promise<T> {
    try {
      return await work;
    } finally {
      this.#flights.delete(key);
    }
  }
}

/** Resolves with the promise, or rejects with the signal's reason when that comes first. The promise goes on. */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  let onAbort: (() => void) | undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(signal.reason as Error);
    signal.addEventListener("abort", onAbort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    if (onAbort !== undefined) signal.removeEventListener("abort", onAbort);
  }
}
