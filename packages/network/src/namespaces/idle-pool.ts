import type { Clock, ErrorReporter } from "@buildkit-ts/async";

/** How an {@linkcode IdlePool} makes, keeps and gives up its members. */
export interface IdlePoolOptions<T> {
  readonly create: () => Promise<T>;
  readonly release: (member: T) => Promise<void>;
  /** So many idle members are kept for good. */
  readonly targetSize: number;
  /** Others are kept so long for whoever comes next. */
  readonly graceMs: number;
  readonly clock: Clock;
  readonly reporter: ErrorReporter;
}

/**
 * Members that are expensive to make and can be used again.
 *
 *     take() ──▶ in use ──put()──▶ idle ──take()──▶ …
 *                                   └──grace over, or disposed──▶ released
 */
export class IdlePool<T> implements AsyncDisposable {
  readonly #options: IdlePoolOptions<T>;
  /** The longest idle first. */
  readonly #idle: { readonly member: T; readonly since: number }[] = [];
  readonly #ending = new AbortController();
  #sweeping: Promise<void> | undefined;

  constructor(options: IdlePoolOptions<T>) {
    this.#options = options;
  }

  async take(): Promise<T> {
    // The one that was used last: those at the other end get old enough to be released.
    const idle = this.#idle.pop();
    return idle === undefined ? await this.#options.create() : idle.member;
  }

  async put(member: T): Promise<void> {
    if (this.#ending.signal.aborted) {
      await this.#options.release(member);
      return;
    }
    this.#idle.push({ member, since: this.#options.clock.now() });
    this.#startSweep();
  }

  /** Makes idle members until there are as many as are kept for good. */
  async fill(): Promise<void> {
    while (this.#idle.length < this.#options.targetSize && !this.#ending.signal.aborted) {
      await this.put(await this.#options.create());
    }
  }

  #startSweep(): void {
    if (this.#sweeping !== undefined || this.#idle.length <= this.#options.targetSize) return;
    this.#sweeping = this.#sweep().finally(() => {
      this.#sweeping = undefined;
    });
  }

  async #sweep(): Promise<void> {
    const { clock, graceMs, reporter, targetSize } = this.#options;
    try {
      // Looked at anew each time: members come and go while this waits.
      for (let [oldest] = this.#idle; oldest !== undefined && this.#idle.length > targetSize; [oldest] = this.#idle) {
        const leftMs = oldest.since + graceMs - clock.now();
        if (leftMs > 0) await clock.sleep(leftMs, { signal: this.#ending.signal });
        else {
          this.#idle.shift();
          await this.#options.release(oldest.member);
        }
      }
    } catch (error) {
      if (!this.#ending.signal.aborted) reporter.report(error, "releasing an idle network namespace");
    }
  }

  /** Releases all that are idle, and those that are put back later. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort(new DOMException("The pool was disposed", "AbortError"));
    await this.#sweeping;
    const results = await Promise.allSettled(
      this.#idle.splice(0).map(async ({ member }) => await this.#options.release(member)),
    );
    for (const result of results) {
      if (result.status === "rejected") this.#options.reporter.report(result.reason, "releasing a network namespace");
    }
  }
}
