import type { opspb } from "@buildkit-ts/api";
import { abortable } from "@buildkit-ts/async";
import { BuildError } from "@buildkit-ts/errdefs";
import type { Digest } from "@buildkit-ts/oci";
import type { VertexWarning } from "@buildkit-ts/progress";
import type { BridgeResult } from "./bridge-ref.ts";
import type { BuildBridge } from "./build-bridge.ts";
import { FrontendContainers } from "./frontend-containers.ts";

const maxWarnings = 10_000;

/** One frontend at work outside of the daemon (in a client or in a container), until it returns a result. */
export class FrontendRun implements AsyncDisposable {
  readonly bridge: BuildBridge;
  readonly inputs: Readonly<Record<string, opspb.Definition>>;
  readonly containers: FrontendContainers;
  readonly #returned = Promise.withResolvers<BridgeResult>();
  #outcome: BridgeResult | Error | undefined;
  #warnings = 0;

  constructor(bridge: BuildBridge, inputs: Readonly<Record<string, opspb.Definition>>) {
    this.bridge = bridge;
    this.inputs = inputs;
    this.containers = new FrontendContainers(bridge);
    // Nobody may be waiting any more when the frontend returns.
    this.#returned.promise.catch(() => undefined);
  }

  /** @throws {BuildError} `resource_exhausted`, for more warnings than anybody reads: progress is kept until the build ends. */
  warn(vertex: Digest, warning: VertexWarning): void {
    if (this.#warnings >= maxWarnings) {
      throw new BuildError("resource_exhausted", `Cannot warn: this frontend has given ${maxWarnings} warnings`);
    }
    this.#warnings += 1;
    this.bridge.warn(vertex, warning);
  }

  /** What the frontend returned; undefined as long as it has not. */
  get outcome(): BridgeResult | Error | undefined {
    return this.#outcome;
  }

  /** Ends the frontend's part of the build, once. */
  return(outcome: BridgeResult | Error): void {
    if (this.#outcome !== undefined) throw new BuildError("failed_precondition", "gateway result is already set");
    this.#outcome = outcome;
    if (outcome instanceof Error) this.#returned.reject(outcome);
    else this.#returned.resolve(outcome);
  }

  async result(options: { readonly signal: AbortSignal }): Promise<BridgeResult> {
    return await abortable(this.#returned.promise, options.signal);
  }

  /** Ends its containers. What it returned stays the build's. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.containers[Symbol.asyncDispose]();
  }
}
