import type { opspb } from "@buildkit-ts/api";
import { abortable } from "@buildkit-ts/async";
import { BuildError, UnknownJobError } from "@buildkit-ts/errdefs";
import type { BridgeResult } from "./bridge-ref.ts";
import type { BuildBridge } from "./build-bridge.ts";

/** How long a call waits for its build: clients send both at the same time. */
const lookupTimeoutMs = 3000;

/** A build whose frontend runs in the client, until that client returns a result. */
export class RegisteredBridge {
  readonly bridge: BuildBridge;
  readonly inputs: Readonly<Record<string, opspb.Definition>>;
  readonly #returned = Promise.withResolvers<BridgeResult>();
  #done = false;

  constructor(bridge: BuildBridge, inputs: Readonly<Record<string, opspb.Definition>>) {
    this.bridge = bridge;
    this.inputs = inputs;
    // Nobody may be waiting any more when the client returns.
    this.#returned.promise.catch(() => undefined);
  }

  /** Ends the frontend's part of the build, once. */
  return(outcome: BridgeResult | Error): void {
    if (this.#done) throw new BuildError("failed_precondition", "gateway result is already set");
    this.#done = true;
    if (outcome instanceof Error) this.#returned.reject(outcome);
    else this.#returned.resolve(outcome);
  }

  async result(options: { readonly signal: AbortSignal }): Promise<BridgeResult> {
    return await abortable(this.#returned.promise, options.signal);
  }
}

/** The builds that wait for a frontend in their client, by id. */
export class BridgeRegistry {
  readonly #bridges = new Map<string, RegisteredBridge>();
  readonly #waiting = new Map<string, PromiseWithResolvers<RegisteredBridge>>();

  /** Registers until disposed. */
  register(id: string, bridge: RegisteredBridge): Disposable {
    this.#bridges.set(id, bridge);
    this.#waiting.get(id)?.resolve(bridge);
    this.#waiting.delete(id);
    return { [Symbol.dispose]: () => void this.#bridges.delete(id) };
  }

  /** @throws {UnknownJobError} when the build does not come up in time. */
  async get(id: string, options: { readonly signal: AbortSignal }): Promise<RegisteredBridge> {
    const found = this.#bridges.get(id);
    if (found !== undefined) return found;
    const waiting = this.#waiting.get(id) ?? Promise.withResolvers<RegisteredBridge>();
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
