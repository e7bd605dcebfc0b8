import { abortable, type Clock } from "@buildkit-ts/async";
import { BuildError } from "@buildkit-ts/errdefs";

/** How often a client is asked whether it is alive, how long it may take, and how often it may fail in a row. */
export interface HealthPolicy {
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly failures: number;
}

/** What clients get that ask for nothing else. */
export const defaultHealthPolicy: HealthPolicy = { intervalMs: 5000, timeoutMs: 15_000, failures: 2 };

const minCustomMs = 1000;
/** More than the answer to a check, or the beginning of one, can have. */
const answerBytes = 4096;

/** @param custom Milliseconds, as a client asks for them: it is given up at the first failure then. */
export function healthPolicy(custom: string | undefined): HealthPolicy {
  const ms = /^\d{1,9}$/.test(custom ?? "") ? Number(custom) : 0;
  if (ms === 0) return defaultHealthPolicy;
  const bounded = Math.max(ms, minCustomMs);
  return { intervalMs: bounded, timeoutMs: bounded, failures: 1 };
}

/** What a {@linkcode HealthWatch} works with. */
export interface HealthWatchOptions {
  readonly policy: HealthPolicy;
  readonly clock: Clock;
  /** Asks once; rejects if the client says that it is not well. */
  readonly check: (signal: AbortSignal) => Promise<void>;
  /** How much has come from the client so far. */
  readonly receivedBytes: () => number;
}

/**
 * Asks a client regularly whether it is alive.
 *
 * A client on a slow line cannot answer before what it has sent already: as long as data come, a late answer is no
 * failure. The time that an answer took is allowed half as long again the next time.
 */
export class HealthWatch {
  readonly #options: HealthWatchOptions;
  #lastMs = 0;

  constructor(options: HealthWatchOptions) {
    this.#options = options;
  }

  /** Never resolves; rejects with the last failure, when there were too many, or with the signal's reason. */
  async run(options: { readonly signal: AbortSignal }): Promise<never> {
    const { policy, clock, receivedBytes } = this.#options;
    for (let failures = 0; ; ) {
      await clock.sleep(policy.intervalMs, options);
      const received = receivedBytes();
      const error = await this.#findFailure(options.signal);
      const isSlow = error?.code === "deadline_exceeded" && receivedBytes() - received > answerBytes;
      failures = error === undefined || isSlow ? 0 : failures + 1;
      if (error !== undefined && failures >= policy.failures) throw error;
    }
  }

  async #findFailure(signal: AbortSignal): Promise<BuildError | undefined> {
    const { policy, clock, check } = this.#options;
    const started = clock.now();
    const timeoutMs = Math.max(policy.timeoutMs, this.#lastMs * 1.5);
    const asking = new AbortController();
    const both = AbortSignal.any([signal, asking.signal]);
    const deadline = clock.sleep(timeoutMs, { signal: both }).then(() => {
      asking.abort(new BuildError("deadline_exceeded", `the client did not answer within ${timeoutMs} ms`));
    });
    deadline.catch(() => undefined);
    try {
      await abortable(check(both), both);
      return undefined;
    } catch (error) {
      signal.throwIfAborted();
      return BuildError.from(asking.signal.aborted ? asking.signal.reason : error);
    } finally {
      this.#lastMs = clock.now() - started;
      if (!asking.signal.aborted) asking.abort(new DOMException("The client has answered", "AbortError"));
    }
  }
}
