import type { ErrorReporter } from "@buildkit-ts/async";
import type { CacheManager, PruneOptions } from "../refs.ts";

const intervalMs = 60_000;
const startDelayMs = 1000;

/**
 * Prunes by policies: one second after the start, and after builds, but at most once a minute. Policies run in their order,
 * each on what the ones before it left.
 */
export class GarbageCollector implements AsyncDisposable {
  readonly #cache: CacheManager;
  readonly #policies: readonly PruneOptions[];
  readonly #reporter: ErrorReporter;
  readonly #controller = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();
  #lastRunAt = Number.NEGATIVE_INFINITY;

  constructor(
    cache: CacheManager,
    options: { readonly policies: readonly PruneOptions[]; readonly reporter: ErrorReporter },
  ) {
    this.#cache = cache;
    this.#policies = options.policies;
    this.#reporter = options.reporter;
  }

  /** To be called once, at the start. */
  start(): void {
    this.#runAfter(startDelayMs);
  }

  /** To be called after each build. Never waits. */
  schedule(): void {
    this.#runAfter(Math.max(0, this.#lastRunAt + intervalMs - performance.now()));
  }

  #runAfter(delayMs: number): void {
    if (this.#timer !== undefined || this.#controller.signal.aborted) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#running = this.run({ signal: this.#controller.signal }).catch((error: unknown) => {
        if (!this.#controller.signal.aborted) this.#reporter.report(error, "collect garbage");
      });
    }, delayMs).unref();
  }

  /** Runs all policies now. */
  async run(options: { readonly signal: AbortSignal }): Promise<void> {
    this.#lastRunAt = performance.now();
    for (const policy of this.#policies)
      for await (const _removed of this.#cache.prune({ ...policy, signal: options.signal })) {
        options.signal.throwIfAborted();
      }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#timer);
    this.#controller.abort(new DOMException("The garbage collector was disposed", "AbortError"));
    await this.#running;
  }
}
