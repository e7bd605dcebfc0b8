import { BuildError } from "@buildkit-ts/errdefs";
import type { Clock } from "./clock.ts";

const firstDelayMs = 1000;
const longestDelayMs = 60_000;

/** What is done with each key, and who hears of the first time that it fails. */
export interface RetryLaterOptions<K> {
  /** May be asked for again after it has succeeded. */
  readonly attempt: (key: K) => Promise<void>;
  readonly onFirstFailure: (error: unknown, key: K) => void;
  readonly clock: Clock;
}

/**
 * Work that nobody waits for until it succeeds, such as removing files from a disk that fails at times.
 *
 *     run(key) ──▶ done
 *        └─ fails ──▶ left ──▶ tried again after 1 s, 2 s, … 60 s, or when somebody asks ──▶ done
 *
 * What is left when it is disposed stays undone: whoever starts next must find it.
 */
export class RetryLater<K> implements AsyncDisposable {
  readonly #options: RetryLaterOptions<K>;
  readonly #left = new Set<K>();
  readonly #controller = new AbortController();
  #waiting: Promise<void> | undefined;
  #round: Promise<void> | undefined;
  #triedAt = 0;

  constructor(options: RetryLaterOptions<K>) {
    this.#options = options;
  }

  /** What has failed and was not done since. */
  get left(): ReadonlySet<K> {
    return this.#left;
  }

  /** Never throws: what fails is left. */
  async run(key: K): Promise<void> {
    await this.#try(key);
    if (this.#left.size > 0 && !this.#controller.signal.aborted) this.#waiting ??= this.#wait();
  }

  /** Tries once more what is left, unless that was done within the last second. */
  async retry(): Promise<void> {
    if (this.#left.size === 0) return;
    const isTime = this.#options.clock.now() - this.#triedAt >= firstDelayMs;
    if (isTime) this.#round ??= this.#tryAll().finally(() => (this.#round = undefined));
    await this.#round;
  }

  async #tryAll(): Promise<void> {
    // Not what fails meanwhile: its time comes later.
    for (const key of Array.from(this.#left)) if (!this.#controller.signal.aborted) await this.#try(key);
    this.#triedAt = this.#options.clock.now();
  }

  async #try(key: K): Promise<void> {
    try {
      await this.#options.attempt(key);
      this.#left.delete(key);
    } catch (error) {
      if (this.#left.has(key)) return;
      this.#left.add(key);
      this.#triedAt = this.#options.clock.now();
      this.#options.onFirstFailure(error, key);
    }
  }

  async #wait(): Promise<void> {
    const { signal } = this.#controller;
    try {
      for (let delayMs = firstDelayMs; this.#left.size > 0; ) {
        await this.#options.clock.sleep(delayMs, { signal });
        const before = this.#left.size;
        await this.retry();
        delayMs = this.#left.size < before ? firstDelayMs : Math.min(2 * delayMs, longestDelayMs);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      this.#waiting = undefined;
    }
  }

  /** Waits for what is being tried. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#controller.abort(new DOMException("Trying again was given up", "AbortError"));
    await this.#round;
    await this.#waiting;
  }
}

/** What is told of files that are left to {@linkcode RetryLater}. @param doing What failed: `Cannot delete blob "x"`. */
export function removalFailed(doing: string, cause: unknown): BuildError {
  const { code, message } = BuildError.from(cause);
  const hint = "It is tried again, and counts as used until it is gone";
  return new BuildError(code, `${doing}: ${message}`, { cause, hint });
}
