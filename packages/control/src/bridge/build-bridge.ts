import { create } from "@bufbuild/protobuf";
import { gatewaypb, opspb, type policypb } from "@buildkit-ts/api";
import type { ImmutableRef } from "@buildkit-ts/cache";
import { BuildError, FrontendError } from "@buildkit-ts/errdefs";
import { platformToProto } from "@buildkit-ts/llb";
import type { Digest, Platform } from "@buildkit-ts/oci";
import type { VertexWarning } from "@buildkit-ts/progress";
import type { Materials } from "@buildkit-ts/provenance";
import type { CacheStore, Job } from "@buildkit-ts/solver";
import { failureStoreKey } from "@buildkit-ts/worker";
import { sortedEntries } from "../build-request.ts";
import type { BuildEngine, LoadOptions } from "../engine.ts";
import type { SourcePolicy } from "../policy/source-policy.ts";
import { captureRefs } from "../provenance/capture-refs.ts";
import { describeTracedRequest } from "../provenance/describe-request.ts";
import type { RequestRegistry } from "../provenance/request-registry.ts";
import { RequestTrace, type TracedRequest } from "../provenance/request-trace.ts";
import { BridgeRef, type BridgeResult, emptyResult, refsOf } from "./bridge-ref.ts";
import { describeFailure } from "./describe-failure.ts";
import { KeptResults } from "./kept-results.ts";
import { RefTable } from "./ref-table.ts";
import { renameSource } from "./rename-source.ts";
import { type ImageMetadata, SourceQueries } from "./source-queries.ts";

/** What a frontend asks to be solved: a definition, or another frontend. */
export interface BridgeSolveRequest {
  readonly definition: opspb.Definition | undefined;
  readonly frontend: string;
  readonly options: Readonly<Record<string, string>>;
  readonly inputs: Readonly<Record<string, opspb.Definition>>;
  readonly cacheImports: readonly { readonly type: string; readonly attributes: Readonly<Record<string, string>> }[];
  readonly evaluate: boolean;
  /** Of a frontend, besides those of the build. */
  readonly sourcePolicies?: readonly policypb.Policy[];
}

/** A frontend that runs inside the daemon. */
export type BuiltinFrontend = (
  bridge: BuildBridge,
  request: BridgeSolveRequest,
  options: { readonly signal: AbortSignal },
) => Promise<BridgeResult>;

export interface BuildBridgeOptions {
  readonly engine: BuildEngine;
  readonly job: Job;
  readonly session: string;
  readonly entitlements: ReadonlySet<string>;
  readonly frontends: ReadonlyMap<string, BuiltinFrontend>;
  readonly cacheImports: readonly { readonly type: string; readonly attributes: Readonly<Record<string, string>> }[];
  /** What the build may use as its sources. */
  readonly policy: SourcePolicy;
  /** Whether steps that have a network have a proxy for it. */
  readonly proxyNetwork: boolean;
  /** What the client asked for. */
  readonly root: TracedRequest;
  /** Where requests are remembered whose results other requests may be given. */
  readonly requests: RequestRegistry;
}

/**
 * What one build offers its frontends, wherever they run. Owns every ref that it gave out, until disposal.
 */
export class BuildBridge implements AsyncDisposable {
  readonly engine: BuildEngine;
  readonly job: Job;
  readonly session: string;
  readonly sources: SourceQueries;
  /** What was asked through this bridge, for provenance. */
  readonly trace: RequestTrace;
  readonly #options: BuildBridgeOptions;
  readonly #refs: RefTable;
  readonly #kept: KeptResults;
  readonly #imports: Map<string, Promise<CacheStore | undefined>>;
  readonly #remembered: DisposableStack;

  constructor(options: BuildBridgeOptions, asked?: { readonly by: BuildBridge; readonly request: BridgeSolveRequest }) {
    this.engine = options.engine;
    this.job = options.job;
    this.session = options.session;
    this.trace = asked === undefined ? new RequestTrace(undefined, options.root) : asked.by.trace.child(asked.request);
    this.sources = new SourceQueries({ ...options, onImage: (image) => this.trace.addImage(image) });
    this.#options = options;
    this.#refs = asked === undefined ? new RefTable() : asked.by.#refs;
    this.#kept = asked === undefined ? new KeptResults() : asked.by.#kept;
    this.#imports = asked === undefined ? new Map() : asked.by.#imports;
    this.#remembered = asked === undefined ? new DisposableStack() : asked.by.#remembered;
    this.job.setValue(failureStoreKey, this.#kept);
  }

  /** What the build may do beyond the sandbox. */
  get entitlements(): ReadonlySet<string> {
    return this.#options.entitlements;
  }

  /** Whether what runs for the build is held to proxies. */
  get proxyNetwork(): boolean {
    return this.#options.proxyNetwork;
  }

  async solve(request: BridgeSolveRequest, options: { readonly signal: AbortSignal }): Promise<BridgeResult> {
    if (request.definition !== undefined && request.definition.def.length > 0) {
      if (request.frontend !== "")
        throw new BuildError("invalid_argument", "cannot solve with both Definition and Frontend specified");
      return await this.#solveDefinition(request.definition, request, options);
    }
    if (request.frontend === "") return emptyResult;
    const result = await this.#runFrontend(withBuiltin(request), options);
    if (request.evaluate) await evaluateAll(result, options);
    this.#remember(result);
    return result;
  }

  async #runFrontend(request: BridgeSolveRequest, options: { readonly signal: AbortSignal }): Promise<BridgeResult> {
    const { frontend: name } = request;
    const frontend = this.#options.frontends.get(name);
    if (frontend === undefined) throw new BuildError("invalid_argument", `invalid frontend: ${name}`);
    // Of its own, so that it is known what was asked on behalf of this request.
    const bridge = new BuildBridge(this.#options, { by: this, request });
    try {
      const result = await frontend(bridge, request, options);
      bridge.trace.addResult(result);
      return result;
    } catch (error) {
      options.signal.throwIfAborted();
      throw new FrontendError(error, { frontend: name, source: request.options["source"] ?? "" });
    }
  }

  async #solveDefinition(
    definition: opspb.Definition,
    request: BridgeSolveRequest,
    options: { readonly signal: AbortSignal },
  ): Promise<BridgeResult> {
    this.#refs.checkRoom();
    const cacheSources = await this.#cacheSources(request.cacheImports, options.signal);
    const { entitlements, proxyNetwork } = this.#options;
    let source = definition.Source;
    let renamed: ReadonlyMap<string, string> = new Map();
    const policy = this.#options.policy.with(request.sourcePolicies ?? []);
    const edge = await this.engine.load(definition, {
      signal: options.signal,
      entitlements,
      cacheSources,
      proxyNetwork,
      onRenamed: (names) => {
        renamed = names;
        source = renameSource(source, names);
      },
      ...this.#evaluation(policy),
    });
    const { engine } = this;
    const describe = async (error: unknown): Promise<unknown> =>
      await describeFailure(error, { definition, renamed, kept: this.#kept, engine });
    const ref = new BridgeRef({ definition, source, edge, job: this.job, engine, describe });
    this.#refs.add(ref);
    const result = { ...emptyResult, ref };
    this.trace.addResult(result);
    if (request.evaluate) await ref.result(options);
    this.#remember(result);
    return result;
  }

  /** Whoever is given one of the definitions as an input shall know which request made it. */
  #remember(result: BridgeResult): void {
    const { requests: registry } = this.#options;
    for (const ref of refsOf(result)) {
      const trace = this.trace.find(ref);
      const materials = (): Materials => captureRefs([ref], this.job);
      const request = trace === undefined ? undefined : describeTracedRequest(trace, { materials, registry });
      if (request !== undefined) this.#remembered.use(registry.register(ref.definition, request));
    }
  }

  /** What the build's policy makes of the sources of graphs that steps describe; undefined without policy. */
  get evaluateSource(): LoadOptions["evaluateSource"] {
    return this.#evaluation(this.#options.policy).evaluateSource;
  }

  #evaluation(policy: SourcePolicy): Pick<LoadOptions, "evaluateSource"> {
    if (policy.isEmpty) return {};
    return { evaluateSource: async (op, options) => await this.sources.evaluate(op, policy, options) };
  }

  /** Each distinct import is read once in a build, however many solves name it. */
  async #cacheSources(imports: BridgeSolveRequest["cacheImports"], signal: AbortSignal): Promise<CacheStore[]> {
    const all = [...this.#options.cacheImports, ...imports];
    const stores = all.map(async ({ type, attributes }) => {
      const key = JSON.stringify([type, sortedEntries(attributes)]);
      let pending = this.#imports.get(key);
      if (pending === undefined) {
        pending = this.#import(type, attributes, signal);
        this.#imports.set(key, pending);
      }
      return await pending;
    });
    return [...new Set((await Promise.all(stores)).filter((store) => store !== undefined))];
  }

  async #import(
    type: string,
    attributes: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<CacheStore | undefined> {
    const name = `importing cache manifest from ${attributes["ref"] ?? attributes["digest"] ?? type}`;
    try {
      return await this.job.inVertex(
        name,
        async (context) =>
          await this.engine.importCache(type, attributes, { ...context, job: this.job, session: this.session }),
        { signal },
      );
    } catch (error) {
      // A cache never fails a build; the vertex shows what went wrong.
      signal.throwIfAborted();
      if (BuildError.from(error).code === "unimplemented") throw error;
      return undefined;
    }
  }

  /** @throws {BuildError} `not_found`, for a ref that this build never gave out. */
  ref(id: string): BridgeRef {
    const ref = this.#refs.find(id);
    if (ref === undefined) throw new BuildError("not_found", `no such ref: ${id}`);
    return ref;
  }

  /** The tree behind an id that this build gave out, as a ref or in a failure; undefined for an empty one. */
  async mountable(
    id: string,
    options: { readonly signal: AbortSignal; readonly dest: string },
  ): Promise<ImmutableRef | undefined> {
    const kept = this.#kept.find(id);
    if (kept !== undefined) return this.engine.refOf(kept);
    const ref = this.#refs.find(id);
    if (ref === undefined) {
      throw new BuildError("not_found", `failed to find ref ${id} for "${options.dest}" mount`);
    }
    return await ref.tree(options);
  }

  async resolveImage(
    reference: string,
    request: {
      readonly platform: Platform | undefined;
      readonly resolveMode: string;
      readonly logName: string;
      readonly scheme?: "docker-image" | "oci-layout";
      readonly attributes?: Readonly<Record<string, string>>;
      readonly sourcePolicies?: readonly policypb.Policy[];
    },
    options: { readonly signal: AbortSignal },
  ): Promise<ImageMetadata> {
    const { resolveMode, logName, scheme = "docker-image", attributes = {}, sourcePolicies = [] } = request;
    const platform = request.platform ?? this.engine.worker.platforms()[0];
    const message = create(gatewaypb.ResolveSourceMetaRequestSchema, {
      Source: create(opspb.SourceOpSchema, { identifier: `${scheme}://${reference}`, attrs: { ...attributes } }),
      ResolveMode: resolveMode,
      LogName: logName,
      SourcePolicies: [...sourcePolicies],
      ...(platform !== undefined && { Platform: platformToProto(platform) }),
    });
    return await this.sources.resolveImage(message, options);
  }

  warn(vertex: Digest, warning: VertexWarning): void {
    this.job.warn(vertex, warning);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#remembered.dispose();
    await Promise.all([this.#refs, this.#kept].map(async (held) => await held[Symbol.asyncDispose]()));
  }
}

/** `gateway.v0` with this name for a source is the frontend of that name in the daemon, unless the client gives another. */
const builtinSource = "dockerfile.v0";

function withBuiltin(request: BridgeSolveRequest): BridgeSolveRequest {
  const isOverridden = Object.keys(request.options).some(
    (key) => key === `context:${builtinSource}` || key.startsWith(`context:${builtinSource}::`),
  );
  const isBuiltin = request.frontend === "gateway.v0" && request.options["source"] === builtinSource && !isOverridden;
  if (!isBuiltin) return request;
  // The name of the frontend is no option of its own.
  const { source: _source, ...options } = request.options;
  return { ...request, frontend: builtinSource, options };
}

/** Builds all refs of a result side by side. */
export async function evaluateAll(result: BridgeResult, options: { readonly signal: AbortSignal }): Promise<void> {
  await Promise.all(refsOf(result).map(async (ref) => await ref.result(options)));
}
