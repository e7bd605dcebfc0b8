import type { Digest } from "@buildkit-ts/oci";
import type { ProgressWriter } from "@buildkit-ts/progress";
import type { ContentDescriber, Explanation, StepDescription } from "./explainer.ts";

/** One output of a vertex. */
export interface Edge {
  readonly vertex: Vertex;
  readonly index: number;
}

export interface VertexOptions {
  readonly ignoreCache: boolean;
  readonly description: Readonly<Record<string, string>>;
  /** false excludes the step from `mode=max` cache exports; undefined leaves it to the exporter. */
  readonly exportCache?: boolean;
  readonly progressGroup?: { readonly id: string; readonly name: string; readonly weak: boolean };
  /** Results for this vertex that other stores may have, asked after the main one. */
  readonly cacheSources: readonly CacheStore[];
}

/** A step of a graph, immutable. The solver knows nothing of `operation`; an {@linkcode OpResolver} does. */
export interface Vertex {
  readonly digest: Digest;
  readonly name: string;
  readonly inputs: readonly Edge[];
  readonly options: VertexOptions;
  /** Where the step is defined, such as `Dockerfile:7`. */
  readonly location?: string;
  readonly operation: unknown;
}

/**
 * What an op gives: one counted hold on some value. Disposing gives up the hold, idempotently.
 * `clone` makes a further hold. `id` is stable across daemons' restarts if it can be loaded again.
 */
export interface Result extends AsyncDisposable {
  readonly id: string;
  readonly value: unknown;
  clone(): Result;
}

/** What a step and its inputs are known by, besides the definition. BuildKit's `solver.CacheMap`. */
export interface CacheMap {
  /** Of the normalised op, without its inputs. */
  readonly digest: Digest;
  readonly deps: readonly CacheMapDependency[];
  /** What the digest is made of, for explanations. Asked only when the step is executed. */
  readonly describe?: () => StepDescription;
}

/** A CacheMap, and whether it is the last one. */
export interface CacheMapAnswer {
  readonly cacheMap: CacheMap;
  readonly done: boolean;
}

export interface CacheMapDependency {
  /** Part of the key that links to the input; empty for none. */
  readonly selector?: Digest;
  /** Gives the content key of the input's result; absent where the definition key is all there is. */
  readonly computeContentDigest?: (result: Result, context: OpContext) => Promise<Digest>;
  /** What the content key is made of, for explanations. */
  readonly content?: ContentDescriber;
  /** Prepares the input's result before it is used or checksummed (such as fetching a lazy ref). */
  readonly prepare?: (result: Result, context: OpContext) => Promise<void>;
}

/** What an op is given while it works. Sessions are those of all live builds that wait for it. */
export interface OpContext {
  readonly signal: AbortSignal;
  readonly progress: ProgressWriter;
  /** Sessions of live builds that wait for this work, the caller's first; asked anew for each use, since builds come and go. */
  sessions(): readonly string[];
  /** Values that the builds gave to the job (entitlements, source policies…), by key, of all live builds that wait. */
  values(key: string): readonly unknown[];
}

/** Makes a result ready for use. Fails where its content cannot be had any more. */
export type PrepareResult = (result: Result, context: OpContext) => Promise<void>;

/** A vertex's behaviour. One instance serves all builds that share the vertex at a time. */
export interface Op {
  /**
   * The CacheMap of `index` 0, 1, … A source gives a quick key first and, if asked for more, an exact one;
   * `done` says that there is no further index.
   */
  cacheMap(index: number, context: OpContext): CacheMapAnswer | Promise<CacheMapAnswer>;
  /** Whether there is one CacheMap only, which is given at once: nobody has to be asked for it. */
  readonly isComputed?: boolean;
  /** Runs, with one result for each input; gives one result for each output. Waits for a slot of the worker if it needs one. */
  exec(inputs: readonly Result[], context: OpContext): Promise<Result[]>;
}

export type OpResolver = (vertex: Vertex) => Op;

/** A result found in a store, not yet loaded. */
export interface CacheRecord {
  readonly id: string;
  readonly createdAt: number;
  readonly priority: number;
}

/** One key: the digest of a CacheMap with output index, and for each input the keys (any of) that lead to it. */
export interface CacheKey {
  readonly digest: Digest;
  readonly output: number;
  readonly deps: readonly (readonly CacheKeyLink[])[];
  /** Id in the store where it was found or saved; undefined for keys that no store holds yet. */
  readonly id: string | undefined;
}

/** What a key is looked for by: its own digest and output index, and which of its inputs the links are for. */
export interface KeyTarget {
  readonly inputIndex: number;
  readonly digest: Digest;
  readonly output: number;
}

export interface CacheKeyLink {
  readonly key: CacheKey;
  readonly selector: Digest | undefined;
}

/**
 * Maps keys to results. The local one persists; imported caches are others behind the same interface.
 * The keys that a store gives are {@linkcode SolverKey}s, which remember the store's own ids of them.
 * BuildKit's `solver.CacheManager`.
 */
export interface CacheStore {
  readonly id: string;
  /** Keys that are `target` and have, as its input, one of `deps`; with no deps, the root key itself. */
  query(deps: readonly CacheKeyLink[], target: KeyTarget): Promise<CacheKey[]>;
  records(key: CacheKey): Promise<CacheRecord[]>;
  /** @throws {BuildError} `not_found`, when the value is gone; the caller then goes on as if there were no hit. */
  load(record: CacheRecord, context: OpContext): Promise<Result>;
  /** Forgets a record whose value turned out to be gone after it was loaded. */
  forget(record: CacheRecord): Promise<void>;
  /** Records a result under a key; the key's links are stored too. */
  save(key: CacheKey, result: Result, createdAt: number): Promise<CacheKey>;
}

/** A store that can answer without being waited for, as long as its loader can. */
export interface DirectCacheStore extends CacheStore {
  /** {@linkcode CacheStore.query} */
  queryNow(deps: readonly CacheKeyLink[], target: KeyTarget): CacheKey[];
  /** {@linkcode CacheStore.records}; undefined if that has to be waited for. */
  recordsNow(key: CacheKey): CacheRecord[] | undefined;
}

/** A result together with every key by which it is known; what cache exporters walk. */
export interface CachedResult extends Result {
  readonly keys: readonly ExportableCacheKey[];
}

/** A key that an exporter can walk down from. See the solver's cache export for what it reports. */
export interface ExportableCacheKey {
  readonly key: CacheKey;
}

/** What the status stream says of a vertex, an event each time it changes. */
export interface VertexEvent {
  readonly digest: Digest;
  readonly inputs: readonly Digest[];
  readonly name: string;
  readonly cached: boolean;
  readonly startedAt: number | undefined;
  readonly completedAt: number | undefined;
  readonly error: string | undefined;
  readonly progressGroup: VertexOptions["progressGroup"];
}

/** One build's progress, in order. */
export type ProgressEvent =
  | { readonly kind: "vertex"; readonly vertex: VertexEvent }
  | { readonly kind: "status"; readonly vertex: Digest; readonly update: import("@buildkit-ts/progress").StatusUpdate }
  | {
      readonly kind: "log";
      readonly vertex: Digest;
      readonly stream: 1 | 2;
      readonly data: Uint8Array;
      readonly at: number;
    }
  | {
      readonly kind: "warning";
      readonly vertex: Digest;
      readonly warning: import("@buildkit-ts/progress").VertexWarning;
    }
  /** Why a vertex is executed. */
  | { readonly kind: "explanation"; readonly vertex: Digest; readonly explanation: Explanation; readonly at: number };

/** A vertex of a job, with the behaviour that answered for it. */
export interface JobStep {
  readonly vertex: Vertex;
  readonly op: Op | undefined;
}

/** One build: a set of edges asked of the solver, with its own progress and sessions. */
export interface Job extends AsyncDisposable {
  readonly id: string;
  /**
   * Solves one edge; equal work of other jobs is shared.
   *
   * @param options.prepare Makes the result ready for use. Where it fails since the content of a cached result is gone,
   *   the result is obtained anew, and prepared again.
   * @throws {VertexError}
   */
  build(edge: Edge, options: { readonly signal: AbortSignal; readonly prepare?: PrepareResult }): Promise<CachedResult>;
  /** Runs work that is no op of the graph (exports, metadata look-ups) as a vertex of this build. */
  inVertex<T>(
    name: string,
    work: (context: OpContext) => Promise<T>,
    options: { readonly signal: AbortSignal; readonly digest?: Digest },
  ): Promise<T>;
  /**
   * The vertices that edges of this job are built from, each once, inputs first. They have their ops as far as they were
   * needed; what was found in a cache may not have needed them.
   */
  steps(edges: Iterable<Edge>): Iterable<JobStep>;
  /** Makes a value visible to ops through {@linkcode OpContext.values}. */
  setValue(key: string, value: unknown): void;
  value(key: string): unknown;
  /** What {@linkcode setValue} was given; undefined for nothing. */
  value(key: string): unknown;
  addSession(id: string): void;
  /** Ids of the clients that wait for the build. */
  sessions(): readonly string[];
  warn(vertex: Digest, warning: import("@buildkit-ts/progress").VertexWarning): void;
  /** All events so far, then those that come, as many as there are at a time; ends when the job is disposed. Any number of readers. */
  events(options: { readonly signal: AbortSignal }): AsyncIterable<readonly ProgressEvent[]>;
}

export interface Solver {
  createJob(id: string): Job;
  /** @throws {UnknownJobError} when no such job comes up within `timeoutMs`. */
  getJob(id: string, options: { readonly signal: AbortSignal; readonly timeoutMs?: number }): Promise<Job>;
}
