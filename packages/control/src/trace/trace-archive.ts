import { setImmediate as nextTurn } from "node:timers/promises";
import type { Clock, ErrorReporter } from "@buildkit-ts/async";
import type { BuildHistory } from "../history/build-history.ts";
import type { BuildTrace } from "./build-trace.ts";
import type { Span } from "./span-json.ts";
import type { TraceStore } from "./trace-store.ts";

/** Clients send their last spans when their build has ended. */
const waitMs = 3000;
/** How many are written before others get their turn: some milliseconds. */
const spansPerTurn = 512;

interface PendingTrace {
  /** Ends the wait for more. */
  readonly finalize: AbortController;
  readonly done: Promise<void>;
}

interface EndedTrace {
  readonly trace: BuildTrace;
  readonly endedAtMs: number;
  readonly error?: unknown;
}

/** Puts the traces of finished builds into their records, when all spans should be there. Disposing keeps what there is. */
export class TraceArchive implements AsyncDisposable {
  readonly store: TraceStore;
  readonly #history: BuildHistory;
  readonly #clock: Clock;
  readonly #errors: ErrorReporter;
  readonly #pending = new Map<string, PendingTrace>();

  constructor(options: {
    readonly store: TraceStore;
    readonly history: BuildHistory;
    readonly clock: Clock;
    readonly errors: ErrorReporter;
  }) {
    this.store = options.store;
    this.#history = options.history;
    this.#clock = options.clock;
    this.#errors = options.errors;
  }

  /** Follows with a build's trace when its record is stored. */
  keep(ref: string, trace: BuildTrace, outcome: { readonly error?: unknown }): void {
    const finalize = new AbortController();
    const done = this.#keep(ref, { trace, endedAtMs: this.#clock.now(), ...outcome }, finalize.signal);
    this.#pending.set(ref, { finalize, done });
  }

  async #keep(ref: string, { trace, ...outcome }: EndedTrace, signal: AbortSignal): Promise<void> {
    using held = this.store.hold(trace.traceId);
    try {
      await this.#clock.sleep(waitMs, { signal }).catch(() => undefined);
      // Not before: the client waits for the build's record, not for this.
      await this.#add(trace.end(outcome));
      await this.#history.addTrace(ref, Buffer.from(`${held.lines().join("\n")}\n`));
    } catch (error) {
      this.#errors.report(error, "storing the trace of a build");
    } finally {
      this.#pending.delete(ref);
    }
  }

  async #add(spans: Iterable<Span>): Promise<void> {
    let added = 0;
    for (const span of spans) {
      this.store.add([span]);
      added += 1;
      if (added % spansPerTurn === 0) await nextTurn();
    }
  }

  /** Stores a build's trace now, if that is still to be done. */
  async finalize(ref: string): Promise<void> {
    const pending = this.#pending.get(ref);
    pending?.finalize.abort(new DOMException("The record is finalised", "AbortError"));
    await pending?.done;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#pending.keys()].map(async (ref) => await this.finalize(ref)));
  }
}
