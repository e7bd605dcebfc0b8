import { type Clock, systemClock } from "@buildkit-ts/async";
import type { SystemSample } from "@buildkit-ts/provenance";
import { readHostSample } from "./host-sample.ts";

const shortestIntervalMs = 2000;
const maxSamples = 20;

/** Reads one sample. */
export type ReadSample = (now: number, options: { readonly signal: AbortSignal }) => SystemSample;

/**
 * What the machine did during a build: a look every two seconds, and less often the longer the build takes, so that there
 * are about twenty in the end. Looks until it is disposed.
 */
export class HostUsage implements AsyncDisposable {
  readonly #clock: Clock;
  readonly #read: ReadSample;
  readonly #ended = new AbortController();
  readonly #looking: Promise<void>;
  readonly #samples: { readonly at: number; readonly sample: SystemSample }[] = [];
  #intervalMs = shortestIntervalMs;

  constructor(options: { readonly clock?: Clock; readonly read?: ReadSample } = {}) {
    this.#clock = options.clock ?? systemClock;
    this.#read = options.read ?? readHostSample;
    this.#looking = this.#look();
    // A machine that cannot be looked at is no reason to fail: there are no samples then.
    this.#looking.catch(() => undefined);
  }

  /** All samples, the last one of now; undefined, where the machine does not tell. */
  samples(options: { readonly signal: AbortSignal }): SystemSample[] | undefined {
    try {
      const last = this.#read(this.#clock.now(), options);
      return [...this.#samples.map(({ sample }) => sample), last];
    } catch {
      options.signal.throwIfAborted();
      return undefined;
    }
  }

  async #look(): Promise<void> {
    const { signal } = this.#ended;
    for (;;) {
      await this.#clock.sleep(this.#intervalMs, { signal });
      const at = this.#clock.now();
      this.#samples.push({ at, sample: this.#read(at, { signal }) });
      if (this.#samples.length >= maxSamples) this.#thinOut();
    }
  }

  /** Keeps every other sample, and takes half as many from now on. */
  #thinOut(): void {
    this.#intervalMs *= 2;
    const kept = this.#samples.filter((_, index) => index % 2 === 0);
    this.#samples.splice(0, this.#samples.length, ...kept);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort(new DOMException("The build has ended", "AbortError"));
    await Promise.allSettled([this.#looking]);
  }
}
