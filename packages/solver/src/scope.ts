/**
 * Cancellation for the inside of the solver.
 *
 * A graph of 10,000 vertices has some 100,000 waits; `AbortSignal` makes each of them cost several microseconds.
 * A signal is made only where an op asks for one.
 */
export class Scope {
  #reason: { readonly error: unknown } | undefined;
  #listeners: Set<() => void> | undefined;
  #controller: AbortController | undefined;

  get aborted(): boolean {
    return this.#reason !== undefined;
  }

  get reason(): unknown {
    return this.#reason?.error;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#reason !== undefined) this.#controller.abort(this.#reason.error);
    }
    return this.#controller.signal;
  }

  throwIfAborted(): void {
    if (this.#reason !== undefined) throw this.#reason.error;
  }

  /** The first reason stays. */
  abort(error: unknown): void {
    if (this.#reason !== undefined) return;
    this.#reason = { error };
    this.#controller?.abort(error);
    const listeners = this.#listeners;
    this.#listeners = undefined;
    for (const listener of listeners ?? []) listener();
  }

  /** Gives a function that takes the listener away again. Calls it at once if the scope is aborted. */
  onAbort(listener: () => void): () => void {
    if (this.#reason !== undefined) {
      listener();
      return () => undefined;
    }
    this.#listeners ??= new Set();
    this.#listeners.add(listener);
    return () => this.#listeners?.delete(listener);
  }

  /** A scope that is aborted by a signal. Dispose it to take the listener away. */
  static of(signal: AbortSignal): Scope & Disposable {
    const scope = new Scope();
    const onAbort = (): void => scope.abort(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    return Object.assign(scope, { [Symbol.dispose]: () => signal.removeEventListener("abort", onAbort) });
  }
}
