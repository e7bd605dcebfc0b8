import { BuildError } from "@buildkit-ts/errdefs";
import type { ExportContext, ExporterInstance, ExportInput, ExportOutput } from "@buildkit-ts/exporters";
import type { Digest } from "@buildkit-ts/oci";
import { type ProgressWriter, withStatus } from "@buildkit-ts/progress";
import type { SessionManager } from "@buildkit-ts/session";
import type { CachedResult, Job, OpContext } from "@buildkit-ts/solver";
import { BuildResolves, buildResolvesKey, compatibilityVersionKey } from "@buildkit-ts/sources";
import { type BridgeRef, type BridgeResult, treesOf } from "./bridge/bridge-ref.ts";
import type { BridgeRegistry } from "./bridge/bridge-registry.ts";
import { BuildBridge, type BuiltinFrontend, evaluateAll, evaluateSourceKey } from "./bridge/build-bridge.ts";
import { FrontendRun } from "./bridge/frontend-run.ts";
import type { BuildRequest } from "./build-request.ts";
import type { BuildEngine, CacheExporter } from "./engine.ts";
import { grantEntitlements } from "./entitlements.ts";
import { readExplainOption } from "./explanations.ts";
import type { BuildHistory } from "./history/build-history.ts";
import { BuildRecorder } from "./history/build-recorder.ts";
import { withLostResultsRebuilt } from "./lost-results.ts";
import { readParallelismLimit } from "./parallelism-limit.ts";
import { platformWarnings } from "./platform-warnings.ts";
import { SourcePolicy } from "./policy/source-policy.ts";
import { ProvenanceStatements } from "./provenance/provenance-statements.ts";
import { recordedProvenance } from "./provenance/recorded-provenance.ts";
import { RequestRegistry } from "./provenance/request-registry.ts";
import { ResultProvenance } from "./provenance/result-provenance.ts";
import { scanResult } from "./provenance/scan-result.ts";
import { SessionExports } from "./session-exports.ts";
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
  /** What every provenance shall say besides. */
  readonly provenanceEnvironment: Readonly<Record<string, unknown>>;
}

interface RunOptions {
  readonly signal: AbortSignal;
  /** What the client's own spans say that the build belongs to. */
  readonly trace: TraceContext;
}

type Response = Readonly<Record<string, string>>;

/** What all exporters together answer, and each of them. */
interface Exported {
  readonly response: Response;
  readonly outputs: readonly Response[];
}

/** One exporter of a request: how it was asked for, and what it will do. */
interface PlannedExport {
  readonly exporter: ExporterInstance;
  readonly index: number;
}

/** Runs builds: frontend, evaluation, exports, cache exports, record. */
export class BuildRunner {
  readonly #options: BuildRunnerOptions;
  readonly #requests = new RequestRegistry();

  constructor(options: BuildRunnerOptions) {
    this.#options = options;
  }

  /** @returns `SolveResponse.ExporterResponse`. */
  async run(request: BuildRequest, options: RunOptions): Promise<Response> {
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
    const exports = this.#plan(request.exporters, 0);
    const sessionExports = new SessionExports(sessions, request);
    const { SourcePolicy: rules, SourcePolicySession: policySession } = request.message;
    const policy = new SourcePolicy({ policies: rules === undefined ? [] : [rules], session: policySession, sessions });
    const cacheExporters = request.cacheExports.map(({ type, attributes }) => engine.cacheExporter(type, attributes));
    if (request.session !== "") job.addSession(request.session);
    job.setValue("entitlements", entitlements);
    job.setValue("job", job);
    job.setValue("session", request.session);
    readExplainOption(job, request.message.FrontendAttrs);
    readParallelismLimit(job, request.message.FrontendAttrs);
    await using resolves = new BuildResolves();
    job.setValue(buildResolvesKey, resolves);
    job.setValue(compatibilityVersionKey, request.compatibilityVersion);
    const recorder = new BuildRecorder({ job, request, history, traces: this.#options.traces, context: options.trace });
    await using statements = new ProvenanceStatements(request, this.#options.provenanceEnvironment);
    try {
      await using bridge = this.#bridge(request, job, { entitlements, policy });
      job.setValue(evaluateSourceKey, bridge.evaluateSource);
      await using open = new AsyncDisposableStack();
      const solved = await this.#result(bridge, request, { ...options, open });
      await evaluateAll(solved, options);
      const provenance = new ResultProvenance(solved, { job, trace: bridge.trace, registry: this.#requests });
      const documents = recordedProvenance(provenance, { request, statements });
      try {
        const scanned = await this.#scan(solved, { request, provenance, bridge }, options);
        const result = statements.addTo(scanned, provenance);
        const wanted = await sessionExports.find(result, options);
        exports.push(...this.#plan(wanted, exports.length));
        const exported = await withLostResultsRebuilt(
          result,
          async () => await this.#export({ job, request, result, exports, cacheExporters }, options.signal),
          options,
        );
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

  /** @param first The index of the first one: a client tells its exports apart by it. */
  #plan(wanted: readonly { readonly type: string; readonly attributes: Response }[], first: number): PlannedExport[] {
    return wanted.map(({ type, attributes }, i) => {
      const exporter = this.#options.engine.exporters.get(type);
      if (exporter === undefined) throw new BuildError("not_found", `exporter "${type}" could not be found`);
      return { exporter: exporter.resolve(attributes), index: first + i };
    });
  }

  #bridge(
    request: BuildRequest,
    job: Job,
    allowed: { readonly entitlements: ReadonlySet<string>; readonly policy: SourcePolicy },
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

  async #export(
    build: {
      readonly job: Job;
      readonly request: BuildRequest;
      readonly result: BridgeResult;
      readonly exports: readonly PlannedExport[];
      readonly cacheExporters: readonly CacheExporter[];
    },
    signal: AbortSignal,
  ): Promise<Exported> {
    const { job, request, result, exports, cacheExporters } = build;
    const inline = cacheExporters.findLast((exporter) => exporter.inline !== undefined);
    const input = await exportInput(result, signal);
    const warnings = platformWarnings(result, request.message.FrontendAttrs);
    if (exports.length === 0 && warnings.length > 0) {
      await job.inVertex("Verifying build result", async ({ progress }) => warnAll(progress, warnings), { signal });
    }
    const outputs = await Promise.all(
      exports.map(async ({ exporter, index }) => {
        const digest = `${request.ref}-export-${index}`;
        return await job.inVertex(
          exporter.name,
          async (context) => {
            if (index === 0) warnAll(context.progress, warnings);
            const exportContext = this.#exportContext(context, request, index);
            const withCache = inline === undefined ? input : withInlineCache(input, { result, inline, context });
            const output = await exporter.export(withCache, exportContext);
            return { output, finalize: async () => await output.finalize?.(exportContext) };
          },
          { signal, digest: digest as Digest },
        );
      }),
    );
    const [, cacheResponses] = await Promise.all([
      Promise.all(outputs.map(async ({ finalize }) => await finalize())),
      this.#exportCaches({ job, request, result, cacheExporters }, signal),
    ]);
    const frontendMetadata = [...result.metadata].filter(([key]) => key.startsWith("frontend."));
    const response = Object.assign(
      Object.fromEntries(frontendMetadata.map(([key, value]) => [key, Buffer.from(value).toString("utf8")])),
      ...outputs.map(({ output }: { output: ExportOutput }) => output.response),
      ...cacheResponses,
    ) as Response;
    return { response, outputs: outputs.map(({ output }) => output.response) };
  }

  #exportContext(context: OpContext, request: BuildRequest, index: number): ExportContext {
    const platform = this.#options.engine.worker.platforms()[0];
    if (platform === undefined) throw new BuildError("internal", "Cannot export: the worker has no platform");
    return {
      signal: context.signal,
      progress: context.progress,
      session: request.session,
      exporterIndex: index,
      compatibilityVersion: request.compatibilityVersion,
      platform,
      owner: blobOwner(request.ref),
      sessions: () => context.sessions(),
    };
  }

  async #exportCaches(
    build: {
      readonly job: Job;
      readonly request: BuildRequest;
      readonly result: BridgeResult;
      readonly cacheExporters: readonly CacheExporter[];
    },
    signal: AbortSignal,
  ): Promise<Response[]> {
    const { job, request, result } = build;
    const cacheExporters = build.cacheExporters.filter((exporter) => exporter.inline === undefined);
    if (cacheExporters.length === 0) return [];
    const results = await Promise.all(treesOf(result).map(async (ref: BridgeRef) => await ref.result({ signal })));
    const present = results.filter((cached): cached is CachedResult => cached !== undefined);
    return await Promise.all(
      cacheExporters.map(async (exporter) => {
        try {
          return await job.inVertex(
            exporter.name,
            async (context) => await exporter.export(present, { ...context, job, session: request.session }),
            { signal },
          );
        } catch (error) {
          if (!exporter.ignoreError || signal.aborted) throw error;
          return {};
        }
      }),
    );
  }
}

/** Holds what a build exports and no record of the cache has. */
function blobOwner(ref: string): string {
  return `build-${ref}`;
}

function warnAll(progress: ProgressWriter, warnings: readonly string[]): void {
  for (const short of warnings) progress.warn({ level: 0, short, detail: [], url: "", ranges: [] });
}

async function exportInput(result: BridgeResult, signal: AbortSignal): Promise<ExportInput> {
  const trees = [...(result.refs ?? [])].map(async ([id, ref]) => [id, await ref?.tree({ signal })] as const);
  const attested = [...result.attestations].map(async ([id, all]) => {
    const loaded = all.map(async (one) => ({ ...one, ref: await one.ref?.tree({ signal }) }));
    return [id, await Promise.all(loaded)] as const;
  });
  return {
    ref: await result.ref?.tree({ signal }),
    refs: new Map(await Promise.all(trees)),
    metadata: result.metadata,
    attestations: new Map(await Promise.all(attested)),
  };
}

/** The input with the cache of each platform's result for whichever image it becomes. */
function withInlineCache(
  input: ExportInput,
  cache: { readonly result: BridgeResult; readonly inline: CacheExporter; readonly context: OpContext },
): ExportInput {
  const { result, inline, context } = cache;
  return {
    ...input,
    inlineCache: async (platform, image, { signal, progress }) =>
      await withStatus(progress, "preparing layers for inline cache", async () => {
        const ref = result.refs === undefined ? result.ref : result.refs.get(platform);
        const cached = await ref?.result({ signal });
        return cached === undefined ? undefined : await inline.inline?.(cached, image, context);
      }),
  };
}
