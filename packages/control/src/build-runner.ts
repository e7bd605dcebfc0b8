import { type SessionManager, withCallTrace } from "@buildkit-ts/session";
import type { Job } from "@buildkit-ts/solver";
import { BuildResolves, buildResolvesKey, compatibilityVersionKey } from "@buildkit-ts/sources";
import { evaluateSourceKey, proxyNetworkKey } from "@buildkit-ts/worker";
import type { BridgeResult } from "./bridge/bridge-ref.ts";
import type { BridgeRegistry } from "./bridge/bridge-registry.ts";
import { BuildBridge, type BuiltinFrontend, evaluateAll } from "./bridge/build-bridge.ts";
import { FrontendRun } from "./bridge/frontend-run.ts";
import type { BuildRequest } from "./build-request.ts";
import type { BuildEngine } from "./engine.ts";
import { grantEntitlements } from "./entitlements.ts";
import { readExplainOption } from "./explanations.ts";
import { BuildExports, blobOwner } from "./exports/build-exports.ts";
import { SessionExports } from "./exports/session-exports.ts";
import type { BuildHistory } from "./history/build-history.ts";
import { BuildRecorder } from "./history/build-recorder.ts";
import { withLostResultsRebuilt } from "./lost-results.ts";
import { readParallelismLimit } from "./parallelism-limit.ts";
import { SourcePolicy } from "./policy/source-policy.ts";
import { ProvenanceStatements } from "./provenance/provenance-statements.ts";
import { recordedProvenance } from "./provenance/recorded-provenance.ts";
import { RequestRegistry } from "./provenance/request-registry.ts";
import { ResultProvenance } from "./provenance/result-provenance.ts";
import { scanResult } from "./provenance/scan-result.ts";
import type { TraceArchive } from "./trace/trace-archive.ts";
import type { TraceContext } from "./trace/trace-context.ts";

export interface BuildRunnerOptions {
  readonly engine: BuildEngine;
  readonly sessions: SessionManager;
  readonly registry: BridgeRegistry;
  readonly history: BuildHistory;
  readonly traces: TraceArchive;
  readonly frontends: ReadonlyMap<string, BuiltinFrontend>;
  /** Entitlements that clients may ask for. */
  readonly allowedEntitlements: ReadonlySet<string>;
  /** Whether all builds are held to proxies, also those that do not ask for it. */
  readonly proxyNetwork: boolean;
  /** What every provenance shall say besides. */
  readonly provenanceEnvironment: Readonly<Record<string, unknown>>;
}

interface RunOptions {
  readonly signal: AbortSignal;
  /** What the client's own spans say that the build belongs to. */
  readonly trace: TraceContext;
}

/** What a build has while it runs; its owner disposes of it. */
interface RunParts {
  readonly job: Job;
  readonly entitlements: ReadonlySet<string>;
  readonly policy: SourcePolicy;
  readonly proxyNetwork: boolean;
  readonly exports: BuildExports;
  readonly sessionExports: SessionExports;
  readonly recorder: BuildRecorder;
  readonly statements: ProvenanceStatements;
}

type Response = Readonly<Record<string, string>>;

/**
 * Runs builds: frontend, evaluation, exports, cache exports, record. Disposing waits until those that run have ended, for
 * somebody who has aborted them: their records are stored then.
 */
export class BuildRunner implements AsyncDisposable {
  readonly #options: BuildRunnerOptions;
  readonly #running = new Set<Promise<unknown>>();
  readonly #requests = new RequestRegistry();

  constructor(options: BuildRunnerOptions) {
    this.#options = options;
  }

  /** @returns `SolveResponse.ExporterResponse`. */
  async run(request: BuildRequest, options: RunOptions): Promise<Response> {
    const running = this.#run(request, options);
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }

  async #run(request: BuildRequest, options: RunOptions): Promise<Response> {
    const { engine } = this.#options;
    // The job comes first, also for a request that will be refused: its client waits for the job's progress to end.
    const job = engine.solver.createJob(request.ref);
    try {
      return await this.#runJob(job, request, options);
    } finally {
      this.#options.registry.end(request.ref);
      await job[Symbol.asyncDispose]();
      await engine.cache.unpinBlobs(blobOwner(request.ref));
      engine.collectGarbage();
    }
  }

  async #runJob(job: Job, request: BuildRequest, options: RunOptions): Promise<Response> {
    const { engine, history, sessions } = this.#options;
    // What cannot be exported is refused before anything is built.
    const entitlements = grantEntitlements(request.entitlements, this.#options.allowedEntitlements);
    const exports = new BuildExports({ engine, job, request });
    const sessionExports = new SessionExports(sessions, request);
    const { SourcePolicy: rules, SourcePolicySession: policySession } = request.message;
    const policy = new SourcePolicy({ policies: rules === undefined ? [] : [rules], session: policySession, sessions });
    if (request.session !== "") job.addSession(request.session);
    job.setValue("entitlements", entitlements);
    job.setValue("job", job);
    job.setValue("session", request.session);
    readExplainOption(job, request.message.FrontendAttrs);
    readParallelismLimit(job, request.message.FrontendAttrs);
    await using resolves = new BuildResolves();
    job.setValue(buildResolvesKey, resolves);
    job.setValue(compatibilityVersionKey, request.compatibilityVersion);
    const proxyNetwork = this.#options.proxyNetwork || request.message.ProxyNetwork;
    job.setValue(proxyNetworkKey, proxyNetwork);
    using recorder = new BuildRecorder({ job, request, history, traces: this.#options.traces, context: options.trace });
    await using statements = new ProvenanceStatements(request, this.#options.provenanceEnvironment);
    const parts = { job, entitlements, policy, proxyNetwork, exports, sessionExports, recorder, statements };
    // What clients are asked for says which build asks.
    return await withCallTrace(recorder.call, async () => await this.#runRecorded(parts, request, options));
  }

  async #runRecorded(parts: RunParts, request: BuildRequest, options: RunOptions): Promise<Response> {
    const { job, entitlements, policy, proxyNetwork, exports, sessionExports, recorder, statements } = parts;
    try {
      await using bridge = this.#bridge(request, job, { entitlements, policy, proxyNetwork });
      job.setValue(evaluateSourceKey, bridge.evaluateSource);
      await using open = new AsyncDisposableStack();
      const solved = await this.#result(bridge, request, { ...options, open });
      await evaluateAll(solved, options);
      const provenance = new ResultProvenance(solved, { job, trace: bridge.trace, registry: this.#requests });
      const documents = recordedProvenance(provenance, { request, statements });
      try {
        const scanned = await this.#scan(solved, { request, provenance, bridge }, options);
        const result = statements.addTo(scanned, provenance);
        exports.add(await sessionExports.find(result, options));
        const exported = await withLostResultsRebuilt(result, async () => await exports.run(result, options), options);
        await sessionExports.finalize(exported.response, options);
        await recorder.finish({ ...exported, documents });
        return exported.response;
      } catch (error) {
        // What was built is known, although it did not get out.
        await recorder.finish({ error, documents });
        throw error;
      }
    } catch (error) {
      await recorder.finish({ error });
      throw error;
    }
  }

  #bridge(
    request: BuildRequest,
    job: Job,
    allowed: {
      readonly entitlements: ReadonlySet<string>;
      readonly policy: SourcePolicy;
      readonly proxyNetwork: boolean;
    },
  ): BuildBridge {
    const { engine, frontends } = this.#options;
    const { session, cacheImports, message } = request;
    const root = { frontend: message.Frontend, options: message.FrontendAttrs, inputs: message.FrontendInputs };
    const requests = this.#requests;
    return new BuildBridge({ engine, job, session, ...allowed, frontends, cacheImports, root, requests });
  }

  /** @param options.open Takes the frontend's way to the build, which a client may use for as long as it exports. */
  async #result(
    bridge: BuildBridge,
    request: BuildRequest,
    options: { readonly signal: AbortSignal; readonly open: AsyncDisposableStack },
  ): Promise<BridgeResult> {
    const { message } = request;
    // An empty definition is a result too: `scratch`.
    if (message.Frontend === "" && message.Definition === undefined) {
      const run = options.open.use(new FrontendRun(bridge, message.FrontendInputs));
      options.open.use(this.#options.registry.register(request.ref, run));
      return await run.result(options);
    }
    return await bridge.solve(
      {
        definition: message.Definition,
        frontend: message.Frontend,
        options: message.FrontendAttrs,
        inputs: message.FrontendInputs,
        cacheImports: [],
        evaluate: false,
      },
      options,
    );
  }

  async #scan(
    result: BridgeResult,
    build: { readonly request: BuildRequest; readonly provenance: ResultProvenance; readonly bridge: BuildBridge },
    options: { readonly signal: AbortSignal },
  ): Promise<BridgeResult> {
    const { request, provenance, bridge } = build;
    const { sbom } = request.attestations;
    if (sbom === undefined) return result;
    const { platforms } = provenance;
    const scan = { sbom, options: request.message.FrontendAttrs, platforms };
    return await scanResult(result, scan, { bridge, signal: options.signal });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#running);
  }
}
