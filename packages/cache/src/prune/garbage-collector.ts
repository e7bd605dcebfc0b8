import type { ErrorReporter } from "@buildkit-ts/async";
import { BuildError } from "@buildkit-ts/errdefs";
import type { LocalCacheManager } from "../local-cache-manager.ts";
import type { PruneOptions } from "../refs.ts";
import { exceedsLimits, hasLimits, type SpaceState } from "./keep-bytes.ts";

const startDelayMs = 1000;
/** How soon after the cache grew its limits are looked at. */
const pauseMs = 100;
/** How often what is only too old is looked for. */
const ageIntervalMs = 60_000;
/** Records of a build that runs become free one by one. */
const longestPauseMs = 2000;

interface PolicyState {
  readonly options: PruneOptions;
  /** The policy has nothing to do, or can do nothing, until then. */
  pausedUntil: number;
  pauseMs: number;
}

/**
 * Keeps the cache within its policies: limits all the time, while builds run, since a cache that is collected after them has
 * filled the disk by then; ages once a minute. Policies run in their order, each on what the ones before it left.
 */
export class GarbageCollector implements AsyncDisposable {
  readonly #cache: LocalCacheManager;
  readonly #policies: readonly PolicyState[];
  readonly #reporter: ErrorReporter;
  readonly #controller = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #isWanted = false;

  constructor(
    cache: LocalCacheManager,
    options: { readonly policies: readonly PruneOptions[]; readonly reporter: ErrorReporter },
  ) {
    this.#cache = cache;
    this.#policies = options.policies.map((policy) => ({
      // What a user calls a limit is meant for all that the daemon writes.
      options: { ...policy, countsOverhead: true },
      pausedUntil: 0,
      pauseMs: 0,
    }));
    this.#reporter = options.reporter;
  }

  /** To be called once, at the start. */
  start(): void {
    this.#cache.onGrowth(() => this.#runAfter(pauseMs));
    this.#runAfter(startDelayMs);
  }

  /** To be called after each build, whose records can go now. Never waits. */
  schedule(): void {
    for (const policy of this.#policies) if (hasLimits(policy.options)) policy.pausedUntil = 0;
    this.#runAfter(pauseMs);
  }

  #runAfter(delayMs: number): void {
    if (this.#controller.signal.aborted) return;
    this.#isWanted = true;
    if (this.#running !== undefined) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#isWanted = false;
      this.#running = this.run({ signal: this.#controller.signal })
        .catch((error: unknown) => {
          if (!this.#controller.signal.aborted) this.#reporter.report(error, "collect garbage");
        })
        .finally(() => {
          this.#running = undefined;
          if (this.#isWanted) this.#runAfter(pauseMs);
        });
    }, delayMs).unref();
  }

  /** Runs the policies that are due. */
  async run(options: { readonly signal: AbortSignal }): Promise<void> {
    // Until something is removed these are the same for all policies.
    let space: SpaceState | undefined;
    const bound = await this.#cache.boundSpace();
    this.#noticeClock();
    for (const policy of this.#policies) {
      if (performance.now() < policy.pausedUntil) continue;
      // Trees are measured, which takes time after each build, only when that may lead to something.
      if (!exceedsLimits(policy.options, bound)) continue;
      if (!this.#cache.hasRemovable(policy.options)) {
        pause(policy, false);
        continue;
      }
      space ??= await this.#cache.measureSpace(options);
      if (!exceedsLimits(policy.options, space)) continue;
      let removed = 0;
      for await (const _removed of this.#cache.prune({ ...policy.options, signal: options.signal })) {
        options.signal.throwIfAborted();
        removed += 1;
      }
      if (removed > 0) space = undefined;
      pause(policy, removed > 0);
    }
  }

  #noticeClock(): void {
    const adopted = this.#cache.adoptClock();
    if (adopted === 0) return;
    const text = `Cannot tell how old ${adopted} cache records are: the clock was set back`;
    const error = new BuildError("failed_precondition", text, { hint: "They count as used now" });
    this.#reporter.report(error, "collect garbage");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#cache.onGrowth(undefined);
    clearTimeout(this.#timer);
    this.#controller.abort(new DOMException("The garbage collector was disposed", "AbortError"));
    await this.#running;
  }
}

/** A policy that could do nothing is asked less and less often, until a build ends: it looks at every record. */
function pause(policy: PolicyState, hasRemoved: boolean): void {
  if (!hasLimits(policy.options)) policy.pauseMs = ageIntervalMs;
  else if (hasRemoved) policy.pauseMs = 0;
  else policy.pauseMs = Math.min(longestPauseMs, Math.max(pauseMs, policy.pauseMs * 2));
  policy.pausedUntil = performance.now() + policy.pauseMs;
}
