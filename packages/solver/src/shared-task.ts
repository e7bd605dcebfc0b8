import { setImmediate as nextTurn } from "node:timers/promises";
import { Scope } from "./scope.ts";

/** One for all: to make an error for each of many thousand scopes would cost more than the work. */
const ended: DOMException = new DOMException("The work has ended", "AbortError");

interface Waiter<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
  off: () => void;
}

interface Flight<T> {
  readonly scope: Scope;
  readonly waiters: Set<Waiter<T>>;
}

/** Work whose end can be waited for, whatever it gives. */
export interface BegunWork {
  /** The end of what was begun last, also of work that nobody waits for; undefined, if nothing ever was. */
  readonly ended: Promise<void> | undefined;
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
export class SharedTask<T> implements BegunWork {
  readonly #work: (scope: Scope) => Promise<T>;
  #flight: Flight<T> | undefined;
  #done: { readonly value: T } | undefined;
  #last: Promise<void> | undefined;

  constructor(work: (scope: Scope) => Promise<T>) {
    this.#work = work;
  }

  /** The outcome, if it is there already. */
  get done(): { readonly value: T } | undefined {
    return this.#done;
  }

  /** Whether the work was neither begun nor done. */
  get isIdle(): boolean {
    return this.#done === undefined && this.#flight === undefined;
  }

  /** Takes an outcome in the place of the work's, which must not have begun. */
  finish(value: T): void {
    if (!this.isIdle) throw new TypeError("The work was begun");
    this.#done = { value };
  }

  /** Forgets the outcome: the next `run()` does the work again. */
  reset(): void {
    this.#done = undefined;
  }

  get ended(): Promise<void> | undefined {
    return this.#last;
  }

  run(scope: Scope): Promise<T> {
    if (this.#done !== undefined) return Promise.resolve(this.#done.value);
    // Plain callbacks: a race of promises for each wait would be most of what a large graph allocates.
    return new Promise((resolve, reject) => {
      if (scope.aborted) {
        reject(scope.reason as Error);
        return;
      }
      this.#flight ??= this.#start();
      const flight = this.#flight;
      const waiter: Waiter<T> = { resolve, reject, off: noop };
      flight.waiters.add(waiter);
      waiter.off = scope.onAbort(() => this.#leave(flight, waiter, scope));
    });
  }

  #leave(flight: Flight<T>, waiter: Waiter<T>, scope: Scope): void {
    if (!flight.waiters.delete(waiter)) return;
    waiter.reject(scope.reason);
    if (flight.waiters.size > 0 || this.#flight !== flight) return;
    // Whoever comes now must not join work that is being aborted.
    this.#flight = undefined;
    // Not at once: an abort goes down a chain that may be deeper than the call stack.
    queueMicrotask(() => flight.scope.abort(scope.reason));
  }

  #start(): Flight<T> {
    const flight: Flight<T> = { scope: new Scope(), waiters: new Set() };
    this.#last = this.#fly(flight, this.#last);
    return flight;
  }

  /** Never rejects: failures go to the waiters. */
  async #fly(flight: Flight<T>, previous: Promise<void> | undefined): Promise<void> {
    await previous;
    let outcome: { readonly value: T } | { readonly error: unknown };
    try {
      // Work that was given up may have come to its end all the same.
      if (this.#done === undefined) {
        if (isTurnLong()) await nextTurn();
        flight.scope.throwIfAborted();
        this.#done = { value: await this.#work(flight.scope) };
      }
      outcome = this.#done;
    } catch (error) {
      outcome = { error };
    }
    if (isTurnLong()) await nextTurn();
    if (this.#flight === flight) this.#flight = undefined;
    for (const waiter of flight.waiters) {
      waiter.off();
      if ("value" in outcome) waiter.resolve(outcome.value);
      else waiter.reject(outcome.error);
    }
    flight.waiters.clear();
    // What the work still waits for, such as the siblings of a failed input, is left now.
    flight.scope.abort(ended);
  }
}

function noop(): void {}

/** How many tasks may begin and end before others, such as the daemon's clients, get their turn. */
const tasksPerTurn = 256;
let tasksOfTurn = 0;

/** Starts counting anew, for those who want the same order of events each time. @param tasks How many have had their turn. */
export function restartTurn(tasks: number): void {
  tasksOfTurn = tasks % tasksPerTurn;
}

/** Tasks that wait for tasks go on in microtasks alone: a graph of many thousand vertices would block the process. */
function isTurnLong(): boolean {
  tasksOfTurn = (tasksOfTurn + 1) % tasksPerTurn;
  return tasksOfTurn === 0;
}
