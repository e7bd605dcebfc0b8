interface Flight<T> {
  readonly controller: AbortController;
  readonly promise: Promise<T>;
  waiters: number;
  isDone: boolean;
}

/**
 * Runs work at most once per key at a time and gives its outcome to all who asked meanwhile.
 *
 * The work has a signal of its own: a waiter that aborts only leaves, and the work is aborted when the last one has left.
 * That one waits for the work to end: what its caller holds, the work may use until then. Nor does the next work for the key
 * begin before.
 */
export class SingleFlight<K, T> {
  readonly #flights = new Map<K, Flight<T>>();

  async run(key: K, work: (signal: AbortSignal) => Promise<T>, options: { readonly signal: AbortSignal }): Promise<T> {
    const { signal } = options;
    for (;;) {
      signal.throwIfAborted();
      const flight = this.#flights.get(key) ?? this.#start(key, work);
      if (!flight.controller.signal.aborted) return await join(flight, signal);
      await abortable(endOf(flight), signal);
    }
  }

  #start(key: K, work: (signal: AbortSignal) => Promise<T>): Flight<T> {
    const controller = new AbortController();
    const promise = work(controller.signal).finally(() => {
      flight.isDone = true;
      this.#flights.delete(key);
    });
    const flight: Flight<T> = { controller, promise, waiters: 0, isDone: false };
    // Waiters may all have left when the work fails; without this the failure would be unhandled.
    promise.catch(() => undefined);
    this.#flights.set(key, flight);
    return flight;
  }
}

async function join<T>(flight: Flight<T>, signal: AbortSignal): Promise<T> {
  flight.waiters += 1;
  try {
    return await abortable(flight.promise, signal);
  } finally {
    flight.waiters -= 1;
    if (flight.waiters === 0 && !flight.isDone) {
      flight.controller.abort(signal.aborted ? signal.reason : new DOMException("No waiter is left", "AbortError"));
      await endOf(flight);
    }
  }
}

async function endOf({ promise }: Flight<unknown>): Promise<void> {
  await promise.then(
    () => undefined,
    () => undefined,
  );
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
