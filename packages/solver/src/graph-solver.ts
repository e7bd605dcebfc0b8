import { type Clock, type ErrorReporter, systemClock } from "@buildkit-ts/async";
import { BuildError, UnknownJobError } from "@buildkit-ts/errdefs";
import { BackgroundWork } from "./background-work.ts";
import type { EdgeResolver } from "./edge-resolver.ts";
import { ExecFlights } from "./exec-flights.ts";
import type { Explainer } from "./explainer.ts";
import { type JobHost, SolverJob } from "./job.ts";
import type { LossFinder } from "./loss.ts";
import { StoreLosses } from "./store-losses.ts";
import type { CacheStore, Edge, Job, OpResolver, Solver, Vertex } from "./types.ts";
import { type NodeEnvironment, VertexNode } from "./vertex-node.ts";

export interface GraphSolverOptions {
  readonly resolveOp: OpResolver;
  /** Where results are recorded, and looked for first. */
  readonly cache: CacheStore;
  /** Receives failures of caches: they never fail a build. */
  readonly reporter: ErrorReporter;
  readonly clock?: Clock;
  /** Told of all that is executed. */
  readonly explainer?: Explainer;
  /** Tells which failures say that content of results is gone. Without it none does, and only cached results are made anew. */
  readonly lossOf?: LossFinder;
}

/** How long a job that has ended can still be found, by a client that asks late for its progress. */
const lingerMs = 10_000;

/**
 * The {@linkcode Solver}: finds results in caches, executes what is not there, and shares both between jobs.
 *
 * A vertex that is wanted has one node, whichever jobs want it. Where the cache is ignored, the vertex and all that is
 * built from it have nodes of their own for each job, so that no other job sees what it did not ask for, nor the reverse.
 */
export class GraphSolver implements Solver, AsyncDisposable {
  readonly #environment: NodeEnvironment;
  readonly #clock: Clock;
  readonly #jobs = new Map<string, SolverJob>();
  readonly #nodes = new Map<string, VertexNode>();
  readonly #waiting = new Map<string, Set<(job: Job) => void>>();

  constructor(options: GraphSolverOptions) {
    this.#clock = options.clock ?? systemClock;
    this.#environment = {
      resolveOp: options.resolveOp,
      cache: options.cache,
      reporter: options.reporter,
      flights: new ExecFlights(),
      losses: new StoreLosses(),
      explainer: options.explainer,
      lossOf: options.lossOf ?? (() => undefined),
      background: new BackgroundWork(options.reporter),
      now: () => this.#clock.now(),
    };
  }

  /** Waits for what goes on after the builds that it was begun for. Jobs must have been disposed before. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#environment.background.settled();
  }

  /** @throws {BuildError} `already_exists`, while a job of that id goes on. */
  createJob(id: string): Job {
    const known = this.#jobs.get(id);
    if (known !== undefined && !known.isDisposed) throw new BuildError("already_exists", `job ID ${id} exists`);
    const host: JobHost = {
      now: this.#environment.now,
      attach: (job, edge) => this.#attach(job, edge),
      detach: async (job) => await this.#detach(job),
    };
    const job = new SolverJob(id, host);
    this.#jobs.set(id, job);
    for (const found of this.#waiting.get(id) ?? []) found(job);
    return job;
  }

  async getJob(id: string, options: { readonly signal: AbortSignal; readonly timeoutMs?: number }): Promise<Job> {
    const known = this.#jobs.get(id);
    if (known !== undefined) return known;
    const { promise, resolve } = Promise.withResolvers<Job>();
    const waiting = this.#waiting.get(id) ?? new Set();
    this.#waiting.set(id, waiting.add(resolve));
    const timer = new AbortController();
    const signal = AbortSignal.any([options.signal, timer.signal]);
    const timeout = this.#clock.sleep(options.timeoutMs ?? 3000, { signal }).then(() => {
      throw new UnknownJobError(id);
    });
    try {
      return await Promise.race([promise, timeout]);
    } finally {
      timer.abort(new DOMException("The job was found", "AbortError"));
      waiting.delete(resolve);
      if (waiting.size === 0) this.#waiting.delete(id);
    }
  }

  /** Inputs before those that use them, with a stack of its own: graphs may be deeper than the call stack. */
  #attach(job: SolverJob, edge: Edge): VertexNode {
    const nodes = new Map<Vertex, VertexNode>();
    const stack: { readonly vertex: Vertex; next: number }[] = [{ vertex: edge.vertex, next: 0 }];
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const input = top.vertex.inputs[top.next];
      if (input === undefined) {
        stack.pop();
        if (!nodes.has(top.vertex)) nodes.set(top.vertex, this.#nodeOf(top.vertex, nodes, job));
        continue;
      }
      top.next += 1;
      if (!nodes.has(input.vertex)) stack.push({ vertex: input.vertex, next: 0 });
    }
    const root = nodes.get(edge.vertex);
    if (root === undefined) throw new TypeError("A graph has no root");
    return root;
  }

  #nodeOf(vertex: Vertex, nodes: ReadonlyMap<Vertex, VertexNode>, job: SolverJob): VertexNode {
    const inputs = vertex.inputs.map((input): EdgeResolver => {
      const node = nodes.get(input.vertex);
      if (node === undefined) throw new TypeError("A vertex was reached before its inputs");
      return node.edge(input.index);
    });
    const own = `${vertex.digest} ${job.id}`;
    const isPrivate = vertex.options.ignoreCache || inputs.some((input) => input.node.isPrivate);
    // Once a vertex ignores the cache, it does so for all of its build.
    const key = isPrivate || this.#nodes.has(own) ? own : vertex.digest;
    let node = this.#nodes.get(key);
    if (node === undefined) {
      node = new VertexNode(vertex, { inputs, environment: this.#environment, isPrivate, key });
      this.#nodes.set(key, node);
    }
    node.addStores(vertex.options.cacheSources);
    if (!node.jobs.has(job)) {
      node.jobs.add(job);
      job.nodes.add(node);
      node.log.attach(job.sink);
    }
    return node;
  }

  async #detach(job: SolverJob): Promise<void> {
    const released: Promise<void>[] = [];
    for (const node of job.nodes) {
      node.jobs.delete(job);
      if (node.jobs.size > 0) {
        node.log.detach(job.sink);
        continue;
      }
      if (this.#nodes.get(node.key) === node) this.#nodes.delete(node.key);
      const releasing = node.release();
      if (releasing === undefined) node.log.detach(job.sink);
      else released.push(releasing.finally(() => node.log.detach(job.sink)));
    }
    job.nodes.clear();
    await Promise.all(released);
    this.#forgetLater(job);
  }

  #forgetLater(job: SolverJob): void {
    const forget = (): void => {
      if (this.#jobs.get(job.id) === job) this.#jobs.delete(job.id);
    };
    this.#clock.sleep(lingerMs, { signal: new AbortController().signal }).then(forget, forget);
  }
}
