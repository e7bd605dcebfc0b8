import type { gatewaypb, opspb } from "@buildkit-ts/api";
import type { ImmutableRef } from "@buildkit-ts/cache";
import { BuildError } from "@buildkit-ts/errdefs";
import { hostPlatform } from "@buildkit-ts/oci";
import { noProgress } from "@buildkit-ts/progress";
import type { OpContext } from "@buildkit-ts/solver";
import type { StepContainer } from "@buildkit-ts/worker";
import type { BuildBridge } from "./build-bridge.ts";

/** More than anybody debugs at once: a frontend must not fill the machine with containers. */
const maxContainers = 100;

/** The containers that one frontend has made for itself, by the ids that it gave them. */
export class FrontendContainers implements AsyncDisposable {
  readonly #bridge: BuildBridge;
  readonly #containers = new Map<string, Promise<StepContainer>>();
  readonly #abort = new AbortController();

  constructor(bridge: BuildBridge) {
    this.#bridge = bridge;
  }

  /** @throws {BuildError} `already_exists`, for an id in use; `not_found`, for a mount of what this build never gave out. */
  async create(request: gatewaypb.NewContainerRequest, options: { readonly signal: AbortSignal }): Promise<void> {
    const { ContainerID: id } = request;
    if (id === "") throw new BuildError("invalid_argument", "Cannot make container: the request has no ContainerID");
    if (this.#containers.has(id)) throw new BuildError("already_exists", `Container ${id} already exists`);
    if (this.#containers.size >= maxContainers) {
      throw new BuildError("resource_exhausted", `Cannot make container: this frontend has ${maxContainers} already`);
    }
    const container = this.#open(request, options);
    this.#containers.set(id, container);
    try {
      await container;
    } catch (error) {
      this.#containers.delete(id);
      throw error;
    }
  }

  async #open(
    request: gatewaypb.NewContainerRequest,
    options: { readonly signal: AbortSignal },
  ): Promise<StepContainer> {
    const bridge = this.#bridge;
    const inputs: (ImmutableRef | undefined)[] = [];
    const mounts: opspb.Mount[] = [];
    for (const mount of request.Mounts) {
      const hasInput = mount.resultID !== "";
      if (hasInput) inputs.push(await bridge.mountable(mount.resultID, { ...options, dest: mount.dest }));
      // Everything is given back when the container is: outputs are what the mounts of an op would have.
      mounts.push({ ...mount, input: hasInput ? BigInt(inputs.length - 1) : -1n, output: 0n });
    }
    return await bridge.engine.openContainer({
      name: `container ${request.ContainerID}`,
      mounts,
      inputs,
      network: request.Network,
      isProxied: bridge.proxyNetwork,
      hostname: request.hostname,
      extraHosts: request.extraHosts,
      os: request.platform?.OS ?? hostPlatform().os,
      granted: bridge.entitlements,
      context: this.#context(),
    });
  }

  #context(): OpContext {
    const { job } = this.#bridge;
    return {
      signal: this.#abort.signal,
      progress: noProgress,
      sessions: () => job.sessions(),
      values: (key) => [job.value(key)].filter((value) => value !== undefined),
    };
  }

  /** @throws {BuildError} `not_found`. */
  async get(id: string): Promise<StepContainer> {
    const container = this.#containers.get(id);
    if (container === undefined) throw new BuildError("not_found", `container details for ${id} not found`);
    return await container;
  }

  /** Kills what runs in the container, and throws its changes away. @throws {BuildError} `canceled`, if something ran. */
  async release(id: string): Promise<void> {
    const container = await this.get(id);
    this.#containers.delete(id);
    const { isRunning } = container;
    await container[Symbol.asyncDispose]();
    if (isRunning) throw new BuildError("canceled", "context canceled");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort(new BuildError("canceled", "context canceled"));
    const containers = [...this.#containers.values()];
    this.#containers.clear();
    await using stack = new AsyncDisposableStack();
    for (const outcome of await Promise.allSettled(containers)) {
      if (outcome.status === "fulfilled") stack.use(outcome.value);
    }
  }
}
