import type { ClientHttp2Session, IncomingHttpHeaders } from "node:http2";
import type { DescMessage, DescMethod, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import {
  type BuildHistoryEvent,
  type BuildHistoryRequestSchema,
  Control,
  type InfoResponse,
  type PruneRequestSchema,
  type StatusResponse,
  type UpdateBuildHistoryRequestSchema,
  type UsageRecord,
} from "@buildkit-ts/api/buildkit/control";
import type { WorkerRecord } from "@buildkit-ts/api/buildkit/worker";
import { CachePlan, type PruneVerdict } from "@buildkit-ts/api/buildkitts/cacheplan";
import { type CheckRegistryResponse, RegistryCheck } from "@buildkit-ts/api/buildkitts/registrycheck";
import { systemClock } from "@buildkit-ts/async";
import { BuildError } from "@buildkit-ts/errdefs";
import { callStreaming, callUnary } from "@buildkit-ts/session/rpc";
import type { Attachable } from "@buildkit-ts/session/serving";
import type { BuildRequest, BuildResponse } from "./build-request.ts";
import { type ConnectOptions, connectDaemon } from "./connect.ts";
import type { BuildFunction } from "./run-build.ts";
import { serveSession } from "./serve-session.ts";

/** Options that every call takes. */
export interface ClientCallOptions {
  readonly signal: AbortSignal;
}

const pollMs = 1000;
const closeTimeoutMs = 1000;

/** A connection to a BuildKit daemon. */
export class BuildkitClient implements AsyncDisposable {
  readonly #connection: ClientHttp2Session;

  private constructor(connection: ClientHttp2Session) {
    this.#connection = connection;
  }

  /**
   * @param address `unix://…`, `tcp://…`, `docker-container://…`, `podman-container://…`, `nerdctl-container://…`,
   *   `kube-pod://…` or `ssh://…`.
   * @throws {BuildError} `unavailable`, if nobody answers there.
   */
  static async connect(address: string, options: ConnectOptions): Promise<BuildkitClient> {
    return new BuildkitClient(await connectDaemon(address, options));
  }

  /** Runs a build. Without `run`, the request's frontend or definition is solved by the daemon. */
  async build(
    request: BuildRequest,
    options: ClientCallOptions & { readonly run?: BuildFunction },
  ): Promise<BuildResponse> {
    // Most programs that connect only ask; building brings the session and all that it serves.
    const { runBuild } = await import("./run-build.ts");
    return await runBuild(this.#connection, request, options);
  }

  async listWorkers(filter: readonly string[], options: ClientCallOptions): Promise<readonly WorkerRecord[]> {
    const answer = await this.#call(Control.method.listWorkers, { filter: [...filter] }, options);
    return answer.record;
  }

  async info(options: ClientCallOptions): Promise<InfoResponse> {
    return await this.#call(Control.method.info, {}, options);
  }

  /** Waits until the daemon answers calls. */
  async waitReady(options: ClientCallOptions): Promise<void> {
    for (;;) {
      try {
        await this.info(options);
        return;
      } catch (error) {
        // A daemon that does not know the method is there.
        if (error instanceof BuildError && error.code === "unimplemented") return;
        if (!(error instanceof BuildError) || error.code !== "unavailable") throw error;
      }
      await systemClock.sleep(pollMs, options);
    }
  }

  async diskUsage(filter: readonly string[], options: ClientCallOptions): Promise<readonly UsageRecord[]> {
    const answer = await this.#call(Control.method.diskUsage, { filter: [...filter] }, options);
    return answer.record;
  }

  /** Deletes cache records; gives each as it goes. */
  prune(request: MessageInitShape<typeof PruneRequestSchema>, options: ClientCallOptions): AsyncIterable<UsageRecord> {
    return this.#stream(Control.method.prune, request, options);
  }

  /** What {@linkcode BuildkitClient.prune} would do with each record, and why; only this project's daemon answers. */
  explainPrune(
    request: MessageInitShape<typeof PruneRequestSchema>,
    options: ClientCallOptions,
  ): AsyncIterable<PruneVerdict> {
    return this.#stream(CachePlan.method.explainPrune, request, options);
  }

  /**
   * How the daemon reaches a registry, with the credentials that the attachables offer; only this project's daemon
   * answers.
   */
  async checkRegistry(
    host: string,
    options: ClientCallOptions & { readonly attachables: readonly Attachable[] },
  ): Promise<CheckRegistryResponse> {
    const { ClientSession } = await import("@buildkit-ts/session/serving");
    const session = new ClientSession({ sharedKey: "", attachables: options.attachables });
    const ended = new AbortController();
    const serving = serveSession(this.#connection, session, { signal: ended.signal });
    try {
      const request = { host, session: session.id };
      return await this.#call(RegistryCheck.method.checkRegistry, request, options);
    } finally {
      ended.abort(new DOMException("The registry is checked", "AbortError"));
      await serving;
    }
  }

  /** What goes on in a build, or went on in a finished one, from its beginning. */
  status(ref: string, options: ClientCallOptions): AsyncIterable<StatusResponse> {
    return this.#stream(Control.method.status, { Ref: ref }, options);
  }

  buildHistory(
    request: MessageInitShape<typeof BuildHistoryRequestSchema>,
    options: ClientCallOptions & { readonly onHeaders?: (headers: IncomingHttpHeaders) => void },
  ): AsyncIterable<BuildHistoryEvent> {
    return this.#stream(Control.method.listenBuildHistory, request, options);
  }

  async updateBuildHistory(
    request: MessageInitShape<typeof UpdateBuildHistoryRequestSchema>,
    options: ClientCallOptions,
  ): Promise<void> {
    await this.#call(Control.method.updateBuildHistory, request, options);
  }

  /** A blob of the daemon's store, such as a build's trace. */
  async *readContent(digest: string, options: ClientCallOptions): AsyncGenerator<Uint8Array, void, undefined> {
    const { Content } = await import("@buildkit-ts/api/containerd/content");
    for await (const { data } of this.#stream(Content.method.read, { digest }, options)) yield data;
  }

  async #call<I extends DescMessage, O extends DescMessage>(
    method: DescMethod & { input: I; output: O },
    request: MessageInitShape<I>,
    options: ClientCallOptions,
  ): Promise<MessageShape<O>> {
    return await callUnary(this.#connection, { method, request }, options);
  }

  #stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethod & { input: I; output: O },
    request: MessageInitShape<I>,
    options: ClientCallOptions,
  ): AsyncGenerator<MessageShape<O>, void, undefined> {
    return callStreaming(this.#connection, { method, request }, options);
  }

  /** Closes the connection; calls that still run get a moment to end. */
  async [Symbol.asyncDispose](): Promise<void> {
    const connection = this.#connection;
    if (connection.destroyed) return;
    await new Promise<void>((resolve) => {
      const deadline = setTimeout(() => connection.destroy(), closeTimeoutMs);
      connection.once("close", () => {
        clearTimeout(deadline);
        resolve();
      });
      connection.close();
    });
  }
}
