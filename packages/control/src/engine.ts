import type { opspb } from "@buildkit-ts/api";
import type { CacheManager, CompressionOptions, ImmutableRef } from "@buildkit-ts/cache";
import type { Device } from "@buildkit-ts/devices";
import type { Exporter } from "@buildkit-ts/exporters";
import type { Digest, Platform } from "@buildkit-ts/oci";
import type { CachedResult, CacheStore, Edge, Job, OpContext, Result, Solver } from "@buildkit-ts/solver";
import type { MetadataRequest, SourceContext, SourceMetadata } from "@buildkit-ts/sources";
import type { StepContainer, StepContainerRequest } from "@buildkit-ts/worker";

/** The rules by which one worker's cache is collected, as clients see them. */
export interface GcRule {
  readonly all: boolean;
  readonly filters: readonly string[];
  readonly keepDurationMs: number;
  readonly reservedSpaceBytes: number;
  readonly maxUsedSpaceBytes: number;
  readonly minFreeSpaceBytes: number;
}

export interface WorkerIdentity {
  readonly id: string;
  readonly labels: Readonly<Record<string, string>>;
  /** The default one first. */
  platforms(): readonly Platform[];
  readonly gcRules: readonly GcRule[];
  /** Those that steps can be given at the moment. */
  devices(): readonly Device[];
}

export interface LoadOptions {
  readonly signal: AbortSignal;
  readonly entitlements: ReadonlySet<string>;
  readonly cacheSources: readonly CacheStore[];
  /** Whether steps that have a network have a proxy for it. */
  readonly proxyNetwork: boolean;
  /** May change a source op in place (true, if it did) or refuse it by throwing. */
  readonly evaluateSource?: (op: opspb.Op, options: { readonly signal: AbortSignal }) => Promise<boolean>;
  /** Told the new digests of ops, by their old ones, when sources were changed or steps get proxies. */
  readonly onRenamed?: (renamed: ReadonlyMap<string, string>) => void;
}

/** A source whose metadata somebody wants. */
export interface SourceQuery {
  readonly identifier: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly platform: Platform;
}

/** A registry as the daemon reaches it. */
export interface CheckedRegistry {
  /** The configuration file; undefined for none. */
  readonly configPath: string | undefined;
  readonly servers: readonly {
    readonly url: string;
    readonly isMirror: boolean;
    readonly settings: readonly string[];
    readonly steps: readonly {
      readonly what: string;
      readonly ok: boolean;
      readonly detail: string;
      readonly hint: string;
    }[];
  }[];
}

/** An image whose config shall hold the cache of its own layers, bottom first. */
export interface InlineCacheImage {
  readonly layers: readonly Digest[];
  readonly compression: CompressionOptions;
}

/** One place that a build's cache is exported to. */
export interface CacheExporter {
  /** The vertex name, such as `exporting cache to registry`. */
  readonly name: string;
  readonly mode: "min" | "max";
  readonly ignoreError: boolean;
  export(results: readonly CachedResult[], context: CacheContext): Promise<Readonly<Record<string, string>>>;
  /** Makes the cache of one result for the image that it becomes: present where the build's images take the cache. */
  inline?(result: CachedResult, image: InlineCacheImage, context: OpContext): Promise<Uint8Array | undefined>;
}

/** What cache imports and exports work with. */
export interface CacheContext extends OpContext {
  readonly job: Job;
  readonly session: string;
}

/** Everything that control needs from what executes builds; the daemon puts it together. */
export interface BuildEngine {
  readonly solver: Solver;
  readonly worker: WorkerIdentity;
  readonly cache: CacheManager;
  readonly exporters: ReadonlyMap<string, Exporter>;
  /** @throws {BuildError} `invalid_argument`, naming what is wrong with the definition. */
  load(definition: opspb.Definition, options: LoadOptions): Promise<Edge>;
  /** The tree that a result holds; undefined for an empty one. The hold stays the result's. */
  refOf(result: Result): ImmutableRef | undefined;
  /** A hold on a result that some op gave. @throws {BuildError} `not_found`, if it is gone by now. */
  loadResult(id: string): Promise<Result>;
  /** A container outside of any graph, for a frontend; what the request's refs hold must outlive it. */
  openContainer(request: StepContainerRequest): Promise<StepContainer>;
  /**
   * What can be told of a source without its files; undefined where nothing can.
   *
   * @throws {BuildError} `invalid_argument`, for a scheme that nobody knows; whatever the source says.
   */
  resolveSource(
    query: SourceQuery,
    wanted: MetadataRequest,
    context: SourceContext,
  ): Promise<SourceMetadata | undefined>;
  /** @throws {BuildError} `invalid_argument`: `unknown cache exporter: "…"`. */
  cacheExporter(type: string, attributes: Readonly<Record<string, string>>): CacheExporter;
  /** A store on an imported cache; undefined where nothing could be imported (a warning was given then). */
  importCache(
    type: string,
    attributes: Readonly<Record<string, string>>,
    context: CacheContext,
  ): Promise<CacheStore | undefined>;
  /** Where registries are configured, and what happens when one's servers are asked. */
  checkRegistry(host: string, context: Pick<SourceContext, "signal" | "sessions">): Promise<CheckedRegistry>;
  /** Collects what the rules select; called after each build, throttled inside. */
  collectGarbage(): void;
}
