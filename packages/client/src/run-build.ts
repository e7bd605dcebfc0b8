import { randomBytes } from "node:crypto";
import type { ClientHttp2Session } from "node:http2";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Control, type SolveRequestSchema } from "@buildkit-ts/api/buildkit/control";
import type { Result } from "@buildkit-ts/api/buildkit/gateway";
import { BuildError } from "@buildkit-ts/errdefs";
import { GatewayClient } from "@buildkit-ts/frontend";
import { callStreaming, callUnary, RpcError, statusFromFailedBuild } from "@buildkit-ts/session/rpc";
import {
  type Attachable,
  ClientSession,
  type OutputTarget,
  shareContentStores,
  shareDirectories,
  takeOutputs,
} from "@buildkit-ts/session/serving";
import type { BuildRequest, BuildResponse, CacheEntry } from "./build-request.ts";
import { ContentStores } from "./content-stores.ts";
import { serveSession } from "./serve-session.ts";

/** How long the progress stream may stay silent after the build has ended. */
const statusSilenceMs = 5000;
/** How long the build's own answer is waited for when its frontend part has failed. */
const lateAnswerMs = 5000;

/** What a {@linkcode BuildFunction} knows of its build. */
export interface BuildFunctionOptions {
  readonly signal: AbortSignal;
  /** The session that serves the build's directories and secrets. */
  readonly sessionId: string;
  /** The request's attributes, and the caches to import as frontends read them. */
  readonly attributes: Readonly<Record<string, string>>;
}

/** Produces the result of a build: the client's part of a frontend, such as `inClient(…)` of the frontend package. */
export type BuildFunction = (gateway: GatewayClient, options: BuildFunctionOptions) => Promise<Result>;

/**
 * Runs one build: opens the session, asks for the build and for its progress side by side, runs the function against
 * the gateway, and hands its result over.
 */
export async function runBuild(
  connection: ClientHttp2Session,
  request: BuildRequest,
  options: { readonly signal: AbortSignal; readonly run?: BuildFunction },
): Promise<BuildResponse> {
  return await new RunningBuild(connection, request).run(options);
}

class RunningBuild {
  readonly #connection: ClientHttp2Session;
  readonly #request: BuildRequest;
  readonly #ref: string;
  readonly #session: ClientSession;
  readonly #stores: ContentStores;
  readonly #attributes: Readonly<Record<string, string>>;
  readonly #afterwards = new AbortController();
  #lastStatusAt = 0;

  constructor(connection: ClientHttp2Session, request: BuildRequest) {
    this.#connection = connection;
    this.#request = request;
    this.#ref = request.ref ?? randomBytes(16).toString("hex");
    this.#stores = ContentStores.forBuild(request);
    const imports = this.#stores.cacheImports.map(entryMessage);
    this.#attributes = {
      ...request.attributes,
      ...(imports.length > 0 && { "cache-imports": JSON.stringify(imports) }),
    };
    const attachables = attachablesOf(request, this.#stores);
    this.#session = new ClientSession({ sharedKey: request.sharedKey ?? "", attachables });
  }

  async run(options: { readonly signal: AbortSignal; readonly run?: BuildFunction }): Promise<BuildResponse> {
    const solving = new AbortController();
    const signal = AbortSignal.any([options.signal, solving.signal]);
    const session = serveSession(this.#connection, this.#session, { signal: this.#afterwards.signal });
    const status = this.#followStatus();
    let metadata: Readonly<Record<string, Uint8Array>> = {};
    const gateway = this.#runGateway(options.run ?? this.#defaultFunction, { signal });
    const answer = callUnary(
      this.#connection,
      { method: Control.method.solve, request: this.#solveRequest() },
      { signal },
    );
    gateway.catch(() => {
      // The build itself should fail and say why; if it does not, it must not be waited for.
      setTimeout(() => solving.abort(new BuildError("canceled", "context canceled")), lateAnswerMs).unref();
    });
    try {
      const [solved, result] = await settle(answer, gateway);
      metadata = result?.metadata ?? {};
      await this.#stores.tag(solved.ExporterResponse);
      return { ref: this.#ref, exporterResponse: solved.ExporterResponse, metadata };
    } catch (error) {
      options.signal.throwIfAborted();
      throw withContext(error);
    } finally {
      await this.#finish(status, session);
    }
  }

  readonly #defaultFunction: BuildFunction = async (gateway, { signal }) => {
    const { definition, frontend, inputs } = this.#request;
    const frontendOptions: Record<string, string> = { ...this.#attributes };
    if (frontendOptions["requestid"] !== undefined) {
      frontendOptions["frontend.caps"] ??= "moby.buildkit.frontend.subrequests";
    }
    const message = {
      Frontend: frontend ?? "",
      FrontendOpt: frontendOptions,
      CacheImports: this.#stores.cacheImports.map(entryMessage),
      FrontendInputs: { ...inputs },
      ...(definition !== undefined && { Definition: definition }),
    };
    return await gateway.solve(message, { signal });
  };

  async #runGateway(run: BuildFunction, options: { readonly signal: AbortSignal }): Promise<Result> {
    const gateway = new GatewayClient(this.#connection, this.#ref);
    await gateway.ping(options);
    let result: Result;
    try {
      result = await run(gateway, { ...options, sessionId: this.#session.id, attributes: this.#attributes });
    } catch (error) {
      if (!options.signal.aborted) await tolerate(gateway.finish({ error: statusFromFailedBuild(error) }, options));
      throw error;
    }
    await gateway.finish({ result }, options);
    return result;
  }

  async #followStatus(): Promise<void> {
    const call = { method: Control.method.status, request: { Ref: this.#ref } };
    const { signal } = this.#afterwards;
    try {
      for await (const status of callStreaming(this.#connection, call, { signal })) {
        this.#lastStatusAt = performance.now();
        this.#request.onStatus?.(status);
      }
    } catch (error) {
      if (signal.aborted || (error instanceof BuildError && error.code === "canceled")) return;
      throw error;
    }
  }

  /** Waits for the rest of the progress while there is any, then ends the session. */
  async #finish(status: Promise<void>, session: Promise<void>): Promise<void> {
    this.#lastStatusAt = Math.max(this.#lastStatusAt, performance.now());
    const watch = setInterval(() => {
      if (performance.now() - this.#lastStatusAt >= statusSilenceMs) this.#end();
    }, 250);
    await tolerate(status);
    clearInterval(watch);
    this.#end();
    await session;
  }

  #end(): void {
    if (!this.#afterwards.signal.aborted) this.#afterwards.abort(new BuildError("canceled", "context canceled"));
  }

  #solveRequest(): MessageInitShape<typeof SolveRequestSchema> {
    const request = this.#request;
    const exports = (request.exports ?? []).map(entryMessage);
    return {
      Ref: this.#ref,
      Session: this.#session.id,
      FrontendAttrs: { ...this.#attributes },
      Exporters: exports,
      // Daemons of old read these.
      ExporterDeprecated: exports[0]?.Type ?? "",
      ExporterAttrsDeprecated: { ...exports[0]?.Attrs },
      Cache: {
        Exports: (request.cacheExports ?? []).map(entryMessage),
        Imports: this.#stores.cacheImports.map(entryMessage),
      },
      Entitlements: [...(request.entitlements ?? [])],
      Internal: request.internal ?? false,
      ProxyNetwork: request.proxyNetwork ?? false,
      ...(request.sourcePolicy !== undefined && { SourcePolicy: request.sourcePolicy }),
    };
  }
}

function entryMessage({ type, attributes }: CacheEntry): { Type: string; Attrs: Record<string, string> } {
  return { Type: type, Attrs: { ...attributes } };
}

function attachablesOf(request: BuildRequest, stores: ContentStores): Attachable[] {
  const attachables = [...(request.attachables ?? [])];
  const directories = request.directories ?? {};
  if (Object.keys(directories).length > 0) attachables.push(shareDirectories(directories));
  const targets = new Map<number, OutputTarget>();
  for (const [index, { target }] of (request.exports ?? []).entries()) {
    if (target !== undefined && target.kind !== "store") targets.set(index, target);
  }
  if (stores.byId.size > 0) attachables.push(shareContentStores(stores.byId));
  if (targets.size > 0) attachables.push(takeOutputs(targets));
  return attachables;
}

/** Both outcomes; the build's failure goes before that of its frontend part, which is often a consequence. */
async function settle<A, B>(answer: Promise<A>, gateway: Promise<B>): Promise<[A, B | undefined]> {
  gateway.catch(() => undefined);
  try {
    const solved = await answer;
    return [solved, await gateway];
  } catch (error) {
    if (!(error instanceof BuildError) || error.code !== "canceled") throw error;
    const own = await Promise.allSettled([gateway]);
    throw own[0].status === "rejected" ? own[0].reason : error;
  }
}

function withContext(error: unknown): BuildError {
  const known = BuildError.from(error);
  const message = known.message.startsWith("failed to solve: ") ? known.message : `failed to solve: ${known.message}`;
  const details = known instanceof RpcError ? known.details : [];
  return new RpcError(known.code, message, { cause: error, details });
}

async function tolerate(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    // The build's own outcome is what counts; this work only accompanies it.
    if (!(error instanceof Error)) throw error;
  }
}
