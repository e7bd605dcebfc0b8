import type { ErrorReporter } from "@buildkit-ts/async";

/** Work that is no part of any step. */
export class BackgroundWork {
  readonly #reporter: ErrorReporter;
  readonly #running = new Set<Promise<void>>();

  constructor(reporter: ErrorReporter) {
    this.#reporter = reporter;
  }

  /** @returns The end of the work, which never rejects. */
  run(work: () => Promise<void>, what: string): Promise<void> {
    const done = work()
      .catch((error: unknown) => this.#reporter.report(error, what))
      .finally(() => this.#running.delete(done));
    this.#running.add(done);
    return done;
  }

  /** Resolves when all has ended that goes on now. */
  async settled(): Promise<void> {
    await Promise.all(this.#running);
  }
}
