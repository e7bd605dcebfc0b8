/**
 * Runs tasks side by side. The first failure aborts the others, and nobody outlives the group.
 *
 *     await using group = new TaskGroup({ signal });
 *     group.run((signal) => first(signal));
 *     group.run((signal) => second(signal));
 *     await group.join();
 */
export class TaskGroup implements AsyncDisposable {
  readonly #controller = new AbortController();
  readonly #tasks = new Set<Promise<void>>();
  readonly #unlink: () => void;
  #failure: { readonly error: unknown } | undefined;

  constructor(options: { readonly signal: AbortSignal }) {
    const { signal } = options;
    const onAbort = (): void => this.#controller.abort(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    this.#unlink = () => signal.removeEventListener("abort", onAbort);
  }

  /** Aborted by the outer signal, by the first failure, and by disposal. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  run(task: (signal: AbortSignal) => Promise<void>): void {
    const running = (async () => {
      try {
        await task(this.#controller.signal);
      } catch (error) {
        this.#failure ??= { error };
        this.#controller.abort(error);
      }
    })();
    this.#tasks.add(running);
    running.then(
      () => this.#tasks.delete(running),
      () => undefined,
    );
  }

  /** Waits for all tasks, also for those added meanwhile, and throws the first failure. */
  async join(): Promise<void> {
    while (this.#tasks.size > 0) await Promise.all(this.#tasks);
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#unlink();
    this.#controller.abort(new DOMException("The task group was disposed", "AbortError"));
    while (this.#tasks.size > 0) await Promise.all(this.#tasks);
  }
}
