import type { ErrorReporter } from "@buildkit-ts/async";
import { BuildError } from "@buildkit-ts/errdefs";
import type { BackgroundWork } from "./background-work.ts";
import { EdgeResolver } from "./edge-resolver.ts";
import { type ExecFlights, RecordedMeanwhile } from "./exec-flights.ts";
import type { Explainer } from "./explainer.ts";
import { FailureGuard, isTriedAgain } from "./failure-guard.ts";
import type { HeldStep } from "./held-step.ts";
import { type LossFinder, LostInputs } from "./loss.ts";
import { OpAnswers } from "./op-answers.ts";
import type { Scope } from "./scope.ts";
import { type BegunWork, SharedTask } from "./shared-task.ts";
import type { FoundRecord } from "./solver-key.ts";
import type { StoreLosses } from "./store-losses.ts";
import type { CacheStore, DirectCacheStore, OpContext, OpResolver, Result, Vertex } from "./types.ts";
import { VertexLog } from "./vertex-log.ts";

/** What a node needs of the jobs that have it. */
export interface NodeJob {
  sessions(): readonly string[];
  value(key: string): unknown;
}

/** What all nodes of a solver share. */
export interface NodeEnvironment {
  readonly resolveOp: OpResolver;
  readonly cache: CacheStore;
  readonly flights: ExecFlights;
  readonly losses: StoreLosses;
  /** Told of all that is executed, if there is one. */
  readonly explainer: Explainer | undefined;
  readonly lossOf: LossFinder;
  readonly background: BackgroundWork;
  readonly reporter: ErrorReporter;
  readonly now: () => number;
}

interface ExecOptions {
  readonly lock: string;
  readonly isRecorded: () => Promise<boolean>;
  /** For the explainer, if there is one. */
  readonly step: HeldStep | undefined;
}

/** A vertex that some job works on, with its op and what the op has answered. Shared by all jobs that have the vertex. */
export class VertexNode {
  /** What the solver finds the node by. */
  readonly key: string;
  readonly vertex: Vertex;
  readonly inputs: readonly EdgeResolver[];
  readonly environment: NodeEnvironment;
  readonly log: VertexLog;
  readonly jobs: Set<NodeJob> = new Set();
  readonly failures: FailureGuard;
  readonly answers: OpAnswers;
  readonly stores: CacheStore[];
  /** Whether the vertex or something it is built from ignores the cache: then the node belongs to one job only. */
  readonly isPrivate: boolean;
  readonly #edges = new Map<number, EdgeResolver>();
  #followers: Set<VertexNode> | undefined;
  readonly #held: Result[] = [];
  #exec: SharedTask<Result[]> | undefined;
  #released = false;
  #loss: string | undefined;
  readonly #recording: Promise<void>[] = [];
  #unlock: (() => Promise<void>) | undefined;

  constructor(
    vertex: Vertex,
    options: {
      readonly inputs: readonly EdgeResolver[];
      readonly environment: NodeEnvironment;
      readonly isPrivate: boolean;
      readonly key: string;
    },
  ) {
    this.vertex = vertex;
    this.inputs = options.inputs;
    this.environment = options.environment;
    this.isPrivate = options.isPrivate;
    this.key = options.key;
    this.log = VertexLog.of(vertex, options.environment.now);
    this.failures = new FailureGuard(this);
    this.answers = new OpAnswers(this);
    this.stores = [options.environment.cache];
    this.addStores(vertex.options.cacheSources);
  }

  get ignoresCache(): boolean {
    return this.vertex.options.ignoreCache;
  }

  addStores(stores: readonly CacheStore[]): void {
    for (const store of stores) if (!this.stores.some(({ id }) => id === store.id)) this.stores.push(store);
  }

  edge(index: number): EdgeResolver {
    let edge = this.#edges.get(index);
    if (edge === undefined) this.#edges.set(index, (edge = new EdgeResolver(this, index)));
    return edge;
  }

  /** The outputs that somebody has asked for. */
  edges(): Iterable<EdgeResolver> {
    return this.#edges.values();
  }

  /** The store that is asked for keys, if there is no other and it can answer at once. */
  get directStore(): DirectCacheStore | undefined {
    const [store, ...others] = this.stores;
    return others.length === 0 && store !== undefined && isDirect(store) ? store : undefined;
  }

  /**
   * Executes, once for all outputs. The results stay the node's. {@linkcode unlock} follows when they are recorded.
   *
   * @throws {RecordedMeanwhile} if `isRecorded` finds, with the keys locked, that there is a record by now.
   * @throws {LostInputs} if the op fails since the content of inputs is gone. It is no failure of the vertex yet.
   */
  async exec(inputs: readonly Result[], options: ExecOptions & { readonly scope: Scope }): Promise<Result[]> {
    this.#exec ??= new SharedTask(
      async (own) => await this.failures.guard(own, () => this.#execOnce(inputs, options, own)),
    );
    const exec = this.#exec;
    try {
      return await exec.run(options.scope);
    } catch (error) {
      // The record may be one of another output: who tries again asks for those of its own, or would be told so for ever.
      // Lost inputs are other ones then.
      if (isTriedAgain(error) && this.#exec === exec) this.#exec = undefined;
      throw error;
    }
  }

  /** Forgets the execution that gave the result, if it is still the last one: the next one executes again. */
  forgetExec(result: Result): void {
    if (this.#exec?.done?.value.includes(result) === true) this.#exec = undefined;
    this.environment.flights.forget(result);
  }

  /** Why a result could not be used; undefined if none was met. */
  get loss(): string | undefined {
    return this.#loss;
  }

  /** Does in the background what {@linkcode release} waits for. */
  record(work: () => Promise<void>): void {
    this.#recording.push(this.environment.background.run(work, `record of what "${this.vertex.name}" is known by`));
  }

  /** Tells the builds, once, that a result of the vertex cannot be used. @param what The kind of result. */
  warnOfLoss(error: unknown, what: "cached result" | "result" = "cached result"): void {
    if (this.#loss !== undefined) return;
    this.#loss = BuildError.from(error).message;
    const short = `Cannot use ${what}: ${this.#loss}`;
    this.log.warn({ level: 1, short, detail: ["The step is built again."], url: "", ranges: [] });
  }

  /** Lets others execute what has equal keys: they will find the records. */
  async unlock(): Promise<void> {
    const unlock = this.#unlock;
    this.#unlock = undefined;
    await unlock?.();
  }

  async #execOnce(inputs: readonly Result[], options: ExecOptions, scope: Scope): Promise<Result[]> {
    const work = async (shared: Scope): Promise<Result[]> => {
      await this.#explain(options.step);
      const outcome = await this.log.interval(false, async () => await this.#runOp(inputs, shared));
      if (outcome instanceof LostInputs) throw outcome;
      return outcome;
    };
    let results: Result[];
    if (this.isPrivate) results = await work(scope);
    else {
      const locked = async (shared: Scope): Promise<Result[]> => {
        if (await options.isRecorded()) throw new RecordedMeanwhile();
        return await work(shared);
      };
      const hold = await this.environment.flights.run(this, { lock: options.lock, scope, work: locked });
      this.#unlock = async () => await hold.release();
      results = hold.results;
    }
    await this.hold(...results);
    return results;
  }

  /** What the op gives, or that it lacks inputs: the step goes on with others then, which is nothing that clients call an error. */
  async #runOp(inputs: readonly Result[], scope: Scope): Promise<Result[] | LostInputs> {
    try {
      return await this.answers.op().exec(inputs, this.context(scope));
    } catch (error) {
      scope.throwIfAborted();
      const loss = this.environment.lossOf(error);
      if (loss === undefined || !inputs.some((input) => loss.affects(input))) throw error;
      return new LostInputs(error, loss);
    }
  }

  async #explain(step: HeldStep | undefined): Promise<void> {
    const { explainer, reporter } = this.environment;
    if (explainer === undefined || step === undefined) return;
    try {
      this.log.explain(await explainer.explain(step));
      step.listAhead();
    } catch (error) {
      // A build is worth more than to know why.
      reporter.report(error, `explanation of "${this.vertex.name}"`);
    }
  }

  async load(found: FoundRecord, scope: Scope): Promise<Result> {
    this.log.start(true);
    const result = await found.store.load(found.record, this.context(scope));
    this.log.complete(undefined);
    await this.hold(result);
    return result;
  }

  /**
   * Keeps results until no job has the vertex any more.
   *
   * @throws {BuildError} `canceled`, if that is the case already: then none of them is left.
   */
  async hold(...results: readonly Result[]): Promise<void> {
    if (this.#released) {
      await Promise.all(results.map((result) => result[Symbol.asyncDispose]()));
      throw new BuildError("canceled", "context canceled");
    }
    this.#held.push(...results);
  }

  /** Shows another vertex's work as this one's, and offers this one's sessions to it. */
  follow(owner: VertexNode): () => void {
    const followers = (owner.#followers ??= new Set());
    followers.add(this);
    const leave = this.log.follow(owner.log);
    return () => {
      leave();
      followers.delete(this);
    };
  }

  context(scope: Scope): OpContext {
    const jobs = (): NodeJob[] => [
      ...new Set([...this.jobs, ...[...(this.#followers ?? [])].flatMap((follower) => [...follower.jobs])]),
    ];
    return {
      get signal() {
        return scope.signal;
      },
      progress: this.log,
      sessions: () => [...new Set(jobs().flatMap((job) => job.sessions()))],
      values: (key) =>
        jobs()
          .map((job) => job.value(key))
          .filter((value) => value !== undefined),
    };
  }

  /** Gives up all results, after all work has ended. Called when the last job has left. @returns undefined if that is done. */
  release(): Promise<void> | undefined {
    this.#released = true;
    const begun = [...this.#tasks()].flatMap(({ ended }) => ended ?? []);
    // Most vertices of a large graph that is found have nothing: their promises would be most of what its end costs.
    const hasNothing = begun.length + this.#recording.length + this.#held.length === 0 && this.#unlock === undefined;
    return hasNothing ? undefined : this.#releaseAfter(begun);
  }

  *#tasks(): Generator<BegunWork, void> {
    for (const edge of this.#edges.values()) yield* edge.tasks();
    yield* this.answers.tasks();
    if (this.#exec !== undefined) yield this.#exec;
  }

  async #releaseAfter(begun: readonly Promise<void>[]): Promise<void> {
    await Promise.all(begun);
    // Holds results: a build that has ended holds none.
    await Promise.all(this.#recording);
    await this.unlock();
    const disposed = await Promise.allSettled(this.#held.splice(0).map((result) => result[Symbol.asyncDispose]()));
    for (const outcome of disposed) {
      if (outcome.status === "rejected") this.environment.reporter.report(outcome.reason, "release of a build result");
    }
  }
}

function isDirect(store: CacheStore): store is DirectCacheStore {
  return "recordsNow" in store;
}
