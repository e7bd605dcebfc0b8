import { abortable } from "@buildkit-ts/async";
import { UnknownJobError } from "@buildkit-ts/errdefs";
import type { FrontendRun } from "./frontend-run.ts";

/** How long a call waits for its build: clients send both at the same time. */
const lookupTimeoutMs = 3000;
const maxRemembered = 1000;

/** The builds that wait for a frontend in their client, by id. */
export class BridgeRegistry {
  readonly #bridges = new Map<string, FrontendRun>();
  readonly #waiting = new Map<string, PromiseWithResolvers<FrontendRun>>();
  /** Builds that are over or were refused, the oldest first: who asks for one need not wait. */
  readonly #over = new Set<string>();

  /** Registers until disposed. */
  register(id: string, bridge: FrontendRun): Disposable {
    this.#over.delete(id);
    this.#bridges.set(id, bridge);
    this.#waiting.get(id)?.resolve(bridge);
    this.#waiting.delete(id);
    return { [Symbol.dispose]: () => void this.#bridges.delete(id) };
  }

  /** Says that a build will not be registered, or not any more. */
  end(id: string): void {
    this.#over.add(id);
    if (this.#over.size > maxRemembered) for (const oldest of this.#over.values().take(1)) this.#over.delete(oldest);
    this.#waiting.get(id)?.reject(new UnknownJobError(id));
    this.#waiting.delete(id);
  }

  /** @throws {UnknownJobError} when the build does not come up in time. */
  async get(id: string, options: { readonly signal: AbortSignal }): Promise<FrontendRun> {
    const found = this.#bridges.get(id);
    if (found !== undefined) return found;
    if (this.#over.has(id)) throw new UnknownJobError(id);
    const waiting = this.#waiting.get(id) ?? Promise.withResolvers<FrontendRun>();
    waiting.promise.catch(() => undefined);
    this.#waiting.set(id, waiting);
    const timeout = AbortSignal.timeout(lookupTimeoutMs);
    try {
      return await abortable(waiting.promise, AbortSignal.any([options.signal, timeout]));
    } catch (error) {
      if (this.#waiting.get(id) === waiting) this.#waiting.delete(id);
      if (!timeout.aborted) throw error;
      throw new UnknownJobError(id, { cause: error });
    }
  }
}
