import { abortable } from "@buildkit-ts/async";
import { type ProgressWriter, withStatus } from "@buildkit-ts/progress";

/** How long a sync waits for another one: longer than most take, and no client can hold up those of others for long. */
const patienceMs = 10_000;

/**
 * The contexts whose last version is being changed into the next one. Whoever syncs such a context finds no version before,
 * and would have all of it sent.
 */
export class ChangingContexts {
  readonly #changing = new Map<string, Set<Promise<void>>>();

  /** The last version may be somebody's alone until the result is disposed. */
  begin(sharedKey: string): Disposable {
    const { promise, resolve } = Promise.withResolvers<void>();
    const all = this.#changing.get(sharedKey) ?? new Set();
    this.#changing.set(sharedKey, all.add(promise));
    return {
      [Symbol.dispose]: () => {
        all.delete(promise);
        if (all.size === 0) this.#changing.delete(sharedKey);
        resolve();
      },
    };
  }

  /** Waits until it is nobody's, but not for long; a build that waits says so. */
  async settled(sharedKey: string, options: SettledOptions): Promise<void> {
    const changing = this.#changing.get(sharedKey);
    if (changing === undefined) return;
    const { signal, progress } = options;
    await withStatus(progress, "waiting for the version of another build", async () => {
      await settledSoon(changing, signal);
    });
  }
}

/** Who waits. */
export interface SettledOptions {
  readonly progress: ProgressWriter;
  readonly signal: AbortSignal;
}

async function settledSoon(changing: Iterable<Promise<void>>, signal: AbortSignal): Promise<void> {
  try {
    await abortable(Promise.all(changing), AbortSignal.any([signal, AbortSignal.timeout(patienceMs)]));
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof DOMException) || error.name !== "TimeoutError") throw error;
  }
}
