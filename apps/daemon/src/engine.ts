import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import type { opspb } from "@buildkit-ts/api";
import { GarbageCollector, type ImmutableRef, LocalCacheManager } from "@buildkit-ts/cache";
import { type ContentStore, LocalContentStore } from "@buildkit-ts/content";
import {
  type BuildEngine,
  type CacheContext,
  type CacheExporter,
  type CheckedRegistry,
  type LoadOptions,
  type SourceQuery,
  userAgent,
  type WorkerIdentity,
} from "@buildkit-ts/control";
import { DeviceRegistry } from "@buildkit-ts/devices";
import { type Exporter, LayerRewriter } from "@buildkit-ts/exporters";
import { ThreadedFileBackend } from "@buildkit-ts/fileop";
import { WorkerLayerCodec } from "@buildkit-ts/layers";
import { definitionFromProto } from "@buildkit-ts/llb";
import { MetadataDatabase } from "@buildkit-ts/metadata";
import { RegistryClient } from "@buildkit-ts/registry";
import { type LocalSessionManager, SessionCredentials } from "@buildkit-ts/session";
import { type CacheStore, type Edge, type Result, type Solver } from "@buildkit-ts/solver";
import { type MetadataRequest, type Source, type SourceContext, type SourceMetadata } from "@buildkit-ts/sources";
import {
  CacheMounts,
  createOpResolver,
  ensureWorkerId,
  findSource,
  ignoredCacheMounts,
  KnownOps,
  loadDefinition,
  refOfResult,
  StepContainer,
  type StepContainerDeps,
  type StepContainerRequest,
  WorkerResultLoader,
  WorkerSlots,
} from "@buildkit-ts/worker";
import { createExporters } from "./create-exporters.ts";
import type { Logger } from "./logger.ts";
import { createNestedSolve } from "./nested-solve.ts";
import { logRuntimeAdvice, openExecutor, openNetwork, openProxies } from "./open-executor.ts";
import { openSolver } from "./open-solver.ts";
import { makeTemporaryDirectory, openSnapshotter } from "./open-stores.ts";
import { registryConfig } from "./registry-config.ts";
import { RemoteCaches } from "./remote-caches.ts";
import type { Settings } from "./settings.ts";
import { openSources } from "./sources.ts";
import { identifyWorker } from "./worker-identity.ts";

/** What the parts are put together from. */
interface Parts {
  readonly settings: Settings;
  readonly resources: AsyncDisposableStack;
  readonly database: MetadataDatabase;
  readonly content: ContentStore;
  readonly cache: LocalCacheManager;
  readonly cacheMounts: CacheMounts;
  readonly containers: StepContainerDeps;
  readonly devices: DeviceRegistry;
  readonly knownOps: KnownOps;
  readonly results: WorkerResultLoader;
  readonly solver: Solver;
  readonly worker: WorkerIdentity;
  readonly exporters: ReadonlyMap<string, Exporter>;
  readonly sources: readonly Source[];
  readonly remoteCaches: RemoteCaches;
  readonly registry: RegistryClient;
  readonly sessions: LocalSessionManager;
  readonly garbage: GarbageCollector | undefined;
}

/** One worker with all that it needs, constructed from the settings. */
export class Engine implements BuildEngine, AsyncDisposable {
  readonly #parts: Parts;

  private constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Cleans up after a predecessor that did not end well, before anything can be asked of it. */
  static async open(
    settings: Settings,
    options: { readonly sessions: LocalSessionManager; readonly logger: Logger; readonly traceSocket: string },
  ): Promise<Engine> {
    await using resources = new AsyncDisposableStack();
    const { sessions, logger } = options;
    const { root } = settings;
    const network = resources.use(await openNetwork(settings, logger));
    const proxies = resources.use(await openProxies(settings, logger));
    const devices = new DeviceRegistry({ ...settings.devices, reporter: logger });
    const executor = resources.use(
      await openExecutor(settings, { sandbox: network, proxies, traceSocket: options.traceSocket }),
    );
    await executor.cleanup();
    resources.use(logRuntimeAdvice(executor, logger));
    const temporaryDirectory = await makeTemporaryDirectory(root);
    const database = resources.use(MetadataDatabase.open(join(root, "state.db"), { reporter: logger }));
    const snapshotter = await openSnapshotter(settings, { database, logger });
    const content = await LocalContentStore.open(join(root, "content"), { reporter: logger });
    const codec = resources.use(new WorkerLayerCodec({ limits: settings.unpack }));
    const cacheParts = { root, database, snapshotter, content, codec, reporter: logger };
    const cache = resources.use(await LocalCacheManager.open(cacheParts));
    const registry = resources.use(
      new RegistryClient({
        config: registryConfig(settings.registries),
        maxTransfers: settings.maxRegistryConcurrency,
        userAgent,
      }),
    );
    const sources = openSources({ cache, content, registry, sessions, resources });
    const workerId = await ensureWorkerId(root);
    const cacheMounts = new CacheMounts(cache, { temporaryDirectory });
    const resolveOp = createOpResolver({
      workerId,
      cache,
      executor,
      devices,
      sessions,
      temporaryDirectory,
      cacheMounts,
      solveNested: createNestedSolve(devices),
      sources,
      fileBackend: resources.use(new ThreadedFileBackend({ limits: settings.unpack })),
      slots: new WorkerSlots(settings.maxParallelism),
    });
    const results = new WorkerResultLoader(workerId, cache);
    const garbage = startGarbageCollector(settings, { cache, logger, resources });
    const rewriter = new LayerRewriter({ content, codec });
    const exporters = createExporters({ content, cache, registry, sessions, rewriter });
    const worker = identifyWorker(settings, {
      workerId,
      snapshotter: snapshotter.name,
      network: network.name,
      devices,
    });
    const solver = resources.use(openSolver({ resolveOp, results, workerId, database, cache, sessions, logger }));
    return new Engine({
      settings,
      resources: resources.move(),
      database,
      content,
      cache,
      cacheMounts,
      containers: { cache, cacheMounts, sessions, temporaryDirectory, executor },
      devices,
      knownOps: new KnownOps(),
      results,
      solver,
      worker,
      exporters,
      sources,
      registry,
      sessions,
      remoteCaches: new RemoteCaches({ cache, content, registry, sessions, workerId, reporter: logger }),
      garbage,
    });
  }

  get database(): DatabaseSync {
    return this.#parts.database.sqlite;
  }

  get content(): ContentStore {
    return this.#parts.content;
  }

  get solver(): Solver {
    return this.#parts.solver;
  }

  get worker(): WorkerIdentity {
    return this.#parts.worker;
  }

  get cache(): LocalCacheManager {
    return this.#parts.cache;
  }

  get exporters(): ReadonlyMap<string, Exporter> {
    return this.#parts.exporters;
  }

  async load(definition: opspb.Definition, options: LoadOptions): Promise<Edge> {
    const decoded = definitionFromProto(definition);
    // Steps that ignore the cache shall find their cache mounts empty, as on BuildKit.
    await this.#parts.cacheMounts.prune(ignoredCacheMounts(decoded), options);
    const { devices, knownOps } = this.#parts;
    return await loadDefinition(decoded, { ...options, devices, knownOps });
  }

  refOf(result: Result): ImmutableRef | undefined {
    return refOfResult(result);
  }

  async loadResult(id: string): Promise<Result> {
    return await this.#parts.results.load(id, { signal: new AbortController().signal });
  }

  async openContainer(request: StepContainerRequest): Promise<StepContainer> {
    return await StepContainer.open(request, this.#parts.containers);
  }

  async resolveSource(
    query: SourceQuery,
    wanted: MetadataRequest,
    context: SourceContext,
  ): Promise<SourceMetadata | undefined> {
    const source = findSource(this.#parts.sources, query.identifier);
    return await source.resolveMetadata?.({ ...query, vertex: "" }, wanted, context);
  }

  async checkRegistry(host: string, context: Pick<SourceContext, "signal" | "sessions">): Promise<CheckedRegistry> {
    const { registry, sessions, settings } = this.#parts;
    const credentials = new SessionCredentials({ sessions, ids: () => context.sessions() });
    const servers = await registry.check(host, { credentials, signal: context.signal });
    return { configPath: settings.configPath, servers };
  }

  cacheExporter(type: string, attributes: Readonly<Record<string, string>>): CacheExporter {
    return this.#parts.remoteCaches.exporter(type, attributes);
  }

  async importCache(
    type: string,
    attributes: Readonly<Record<string, string>>,
    context: CacheContext,
  ): Promise<CacheStore | undefined> {
    return await this.#parts.remoteCaches.import(type, attributes, context);
  }

  collectGarbage(): void {
    this.#parts.garbage?.schedule();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.resources.disposeAsync();
  }
}

function startGarbageCollector(
  settings: Settings,
  options: { readonly cache: LocalCacheManager; readonly logger: Logger; readonly resources: AsyncDisposableStack },
): GarbageCollector | undefined {
  if (settings.gcRules.length === 0) return undefined;
  const { cache, logger, resources } = options;
  const garbage = resources.use(new GarbageCollector(cache, { policies: settings.gcRules, reporter: logger }));
  garbage.start();
  return garbage;
}
