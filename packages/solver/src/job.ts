import { randomBytes } from "node:crypto";
import { BuildError } from "@buildkit-ts/errdefs";
import { type Digest, digestOf } from "@buildkit-ts/oci";
import type { VertexWarning } from "@buildkit-ts/progress";
import type { EdgeResult } from "./edge-result.ts";
import { findAhead } from "./find-ahead.ts";
import { ProgressLog } from "./progress-log.ts";
import { Scope } from "./scope.ts";
import type {
  CachedResult,
  Edge,
  ExportableCacheKey,
  Job,
  JobStep,
  OpContext,
  PrepareResult,
  ProgressEvent,
  Result,
} from "./types.ts";
import { type ProgressSink, VertexLog } from "./vertex-log.ts";
import type { NodeJob, VertexNode } from "./vertex-node.ts";
import { walkNodes } from "./walk-nodes.ts";

/** What a job needs of the solver that it belongs to. */
export interface JobHost {
  readonly now: () => number;
  /** Finds or makes the nodes of all vertices that the edge is built from, and enters the job into them. */
  attach(job: SolverJob, edge: Edge): VertexNode;
  /** Takes the job out of all its nodes, and releases those that no other job has. */
  detach(job: SolverJob): Promise<void>;
}

/** One build, see {@linkcode Job}. */
export class SolverJob implements Job, NodeJob {
  readonly id: string;
  readonly nodes: Set<VertexNode> = new Set();
  readonly #host: JobHost;
  readonly #log = new ProgressLog();
  readonly #scope = new Scope();
  readonly #sessions = new Set<string>();
  readonly #values = new Map<string, unknown>();
  readonly #running = new Set<Promise<unknown>>();
  #disposed: Promise<void> | undefined;
  readonly sink: ProgressSink = (event) => this.#log.append(event);

  constructor(id: string, host: JobHost) {
    this.id = id;
    this.#host = host;
  }

  get isDisposed(): boolean {
    return this.#disposed !== undefined;
  }

  async build(
    edge: Edge,
    options: { readonly signal: AbortSignal; readonly prepare?: PrepareResult },
  ): Promise<CachedResult> {
    const { signal, prepare } = options;
    return await this.#track(signal, async (scope) => {
      const resolver = this.#host.attach(this, edge).edge(edge.index);
      await findAhead(resolver, scope);
      return JobResult.of(
        await (prepare === undefined ? resolver.complete(scope) : resolver.completePrepared(scope, prepare)),
      );
    });
  }

  async inVertex<T>(
    name: string,
    work: (context: OpContext) => Promise<T>,
    options: { readonly signal: AbortSignal; readonly digest?: Digest },
  ): Promise<T> {
    const digest = options.digest ?? digestOf(`${name}:${randomBytes(16).toString("hex")}`);
    const log = new VertexLog(
      {
        digest,
        inputs: [],
        name,
        cached: false,
        startedAt: undefined,
        completedAt: undefined,
        error: undefined,
        progressGroup: undefined,
      },
      this.#host.now,
    );
    return await this.#track(options.signal, async (scope) => {
      log.attach(this.sink);
      const context: OpContext = {
        signal: scope.signal,
        progress: log,
        sessions: () => this.sessions(),
        values: (key) => (this.#values.has(key) ? [this.#values.get(key)] : []),
      };
      return await log.interval(false, async () => await work(context));
    });
  }

  *steps(edges: Iterable<Edge>): Iterable<JobStep> {
    const seen = new Set<VertexNode>();
    for (const edge of edges) {
      this.#scope.throwIfAborted();
      for (const { vertex, answers } of walkNodes(this.#host.attach(this, edge), seen))
        yield { vertex, op: answers.asked };
    }
  }

  setValue(key: string, value: unknown): void {
    this.#values.set(key, value);
  }

  value(key: string): unknown {
    return this.#values.get(key);
  }

  addSession(id: string): void {
    this.#sessions.add(id);
  }

  sessions(): readonly string[] {
    return [...this.#sessions];
  }

  warn(vertex: Digest, warning: VertexWarning): void {
    this.#log.append({ kind: "warning", vertex, warning });
  }

  events(options: { readonly signal: AbortSignal }): AsyncIterable<readonly ProgressEvent[]> {
    return this.#log.events(options);
  }

  /** Aborts what the job still does, waits for its end, and gives up everything that no other job has. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#disposed ??= this.#dispose();
    return this.#disposed;
  }

  async #dispose(): Promise<void> {
    this.#scope.abort(new BuildError("canceled", "context canceled"));
    await Promise.allSettled(this.#running);
    await this.#host.detach(this);
    this.#log.close(this.#host.now());
  }

  /** Runs work that ends with the signal or the job, whichever ends first, and that disposal waits for. */
  async #track<T>(signal: AbortSignal, work: (scope: Scope) => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    this.#scope.throwIfAborted();
    using scope = Scope.of(signal);
    const off = this.#scope.onAbort(() => scope.abort(this.#scope.reason));
    const running = work(scope);
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
      off();
    }
  }
}

/** A job's own hold on a result. */
class JobResult implements CachedResult {
  readonly id: string;
  readonly value: unknown;
  readonly keys: readonly ExportableCacheKey[];
  readonly #hold: Result;

  constructor(hold: Result, keys: readonly ExportableCacheKey[]) {
    this.#hold = hold;
    this.id = hold.id;
    this.value = hold.value;
    this.keys = keys;
  }

  static of({ result, keys }: EdgeResult): JobResult {
    return new JobResult(
      result.clone(),
      keys.map((key) => ({ key })),
    );
  }

  clone(): CachedResult {
    return new JobResult(this.#hold.clone(), this.keys);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#hold[Symbol.asyncDispose]();
  }
}
