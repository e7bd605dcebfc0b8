import { BuildError, InputKeyError } from "@buildkit-ts/errdefs";
import type { Digest } from "@buildkit-ts/oci";
import { askStore } from "./ask-store.ts";
import { EdgeInput } from "./edge-input.ts";
import type { EdgeResult } from "./edge-result.ts";
import { RecordedMeanwhile } from "./exec-flights.ts";
import { execLock } from "./exec-lock.ts";
import { HeldStep } from "./held-step.ts";
import { KeySearch } from "./key-search.ts";
import { LostResult } from "./lost-result.ts";
import { recordResult } from "./record-result.ts";
import type { Scope } from "./scope.ts";
import { SharedTask } from "./shared-task.ts";
import { type FoundRecord, SolverKey } from "./solver-key.ts";
import type { CacheKeyLink, CacheMap, PrepareResult, Result } from "./types.ts";
import type { VertexNode } from "./vertex-node.ts";

/** How often a result is obtained anew because it could not be used; each time costs a record, so this is never met. */
const maxRewinds = 16;

interface ResolverInput {
  readonly edge: EdgeResolver;
  readonly state: EdgeInput;
}

/**
 * One output of a vertex on its way to a result.
 *
 *     fast ──▶ slow ──▶ complete
 *                ▲          │
 *                └─ rewind ─┘
 *
 * *fast* looks for keys by definition: the keys of the inputs, without results. *slow* looks for more by the content of
 * inputs, which needs their results, but not this edge's own. *complete* loads what was found, or executes. Keys only ever
 * come in addition, so an edge that was asked for less goes on where it stopped. A result that turns out to be lost when it
 * is used is obtained anew: from another record, or by executing.
 */
export class EdgeResolver {
  readonly node: VertexNode;
  readonly index: number;
  readonly #fast: SharedTask<void>;
  readonly #slow: SharedTask<void>;
  readonly #complete: SharedTask<EdgeResult>;
  readonly #inputs: readonly ResolverInput[];
  readonly #search: KeySearch;
  readonly #recorded: SolverKey[] = [];
  readonly #sourceDigests: Digest[] = [];
  #sourceDone = false;
  #lookedAt = -1;
  #cacheMap: CacheMap | undefined;
  #completing: { readonly scope: Scope; readonly fail: (error: unknown) => void; begun: boolean } | undefined;

  constructor(node: VertexNode, index: number) {
    this.node = node;
    this.index = index;
    this.#inputs = node.inputs.map((edge, i) => ({ edge, state: new EdgeInput(i) }));
    const states = this.#inputs.map(({ state }) => state);
    this.#search = new KeySearch(node, index, states);
    this.#fast = new SharedTask(async (scope) => await this.#findFast(scope));
    this.#slow = new SharedTask(async (scope) => await this.#findSlow(scope));
    this.#complete = new SharedTask(async (scope) => await this.#finish(scope));
  }

  complete(scope: Scope): Promise<EdgeResult> {
    return this.#complete.run(scope);
  }

  /** The result, made ready for use. One that cannot be is lost, and obtained anew as long as there is another way to it. */
  async completePrepared(scope: Scope, prepare: PrepareResult): Promise<EdgeResult> {
    for (let attempt = 0; ; attempt++) {
      const completed = await this.complete(scope);
      try {
        await prepare(completed.result, this.node.context(scope));
        return completed;
      } catch (error) {
        scope.throwIfAborted();
        if (attempt >= maxRewinds || !(await this.rewind(completed, error))) throw error;
      }
    }
  }

  async settled(): Promise<void> {
    await Promise.all([this.#fast.settled(), this.#slow.settled(), this.#complete.settled()]);
  }

  /**
   * Forgets a result whose content turned out to be gone: what asks next gets it from another record, or executed. What was
   * executed from lost results, such as a merge of layers that nobody has any more, is executed again upon new ones.
   *
   * @returns Whether there is hope; without, the failure stands.
   */
  async rewind(lost: EdgeResult, error: unknown): Promise<boolean> {
    const pending: { readonly edge: EdgeResolver; readonly result: EdgeResult }[] = [{ edge: this, result: lost }];
    const executed: typeof pending = [];
    let isRewound = false;
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      const { edge, result } = next;
      // Another one may have met the loss before.
      if (edge.#complete.done?.value !== result) isRewound = true;
      else if (result.record !== undefined) {
        await edge.#forgetLoaded(result, error);
        isRewound = true;
      } else {
        executed.push(next);
        for (const input of edge.#inputs) {
          const used = input.edge.#complete.done?.value;
          if (used !== undefined) pending.push({ edge: input.edge, result: used });
        }
      }
    }
    if (isRewound) for (const { edge, result } of executed) edge.#forgetExecuted(result);
    return isRewound;
  }

  async #forgetLoaded(lost: EdgeResult, error: unknown): Promise<void> {
    const { record } = lost;
    if (record === undefined || this.#complete.done?.value !== lost) return;
    this.#complete.reset();
    this.node.warnOfLoss(error);
    const { cache, losses, reporter } = this.node.environment;
    // The main store's results are of many kinds: one that fails says nothing of the others.
    if (record.store !== cache) losses.add(record.store, error);
    for (const useless of [record, ...(await this.#copiesOf(lost))]) {
      this.#search.records.spend(useless);
      if (isGone(error)) await askStore(useless.store, reporter, () => useless.store.forget(useless.record));
    }
  }

  /** What the main store knows of a result that was found in another one. */
  async #copiesOf({ result, record, keys }: EdgeResult): Promise<FoundRecord[]> {
    const { cache, reporter } = this.node.environment;
    const [key] = keys;
    if (key === undefined || record?.store === cache) return [];
    const records = (await askStore(cache, reporter, () => cache.records(key))) ?? [];
    return records.filter(({ id }) => id === result.id).map((copy) => ({ store: cache, record: copy, key }));
  }

  #forgetExecuted(lost: EdgeResult): void {
    if (this.#inputs.length === 0 || this.#complete.done?.value !== lost) return;
    this.#complete.reset();
    for (const record of lost.keys.flatMap((key) => key.origin?.records ?? [])) this.#search.records.spend(record);
    this.node.forgetExec(lost.result);
  }

  /** Keys by which steps upon this edge can be looked for. */
  get #keys(): SolverKey[] {
    return [...this.#search.keys, ...this.#recorded];
  }

  async #findFast(scope: Scope): Promise<void> {
    if (this.#inputs.length === 0) {
      await this.#findSource(scope);
      return;
    }
    const [{ cacheMap }] = await Promise.all([
      this.node.cacheMap(0, scope),
      ...(this.node.ignoresCache ? [] : this.#inputs.map((input) => input.edge.#fast.run(scope))),
    ]);
    this.#cacheMap = cacheMap;
    if (this.node.ignoresCache) return;
    await this.#probeAll();
    await this.#search.match();
  }

  /** Asks a source for keys until one has records, or there are no more. */
  async #findSource(scope: Scope): Promise<void> {
    while (!this.#sourceDone && this.#search.records.size === 0) {
      const { cacheMap, done } = await this.node.cacheMap(this.#sourceDigests.length, scope);
      this.#sourceDigests.push(cacheMap.digest);
      this.#cacheMap = cacheMap;
      this.#sourceDone = done;
      await this.#search.findRoot(cacheMap.digest);
    }
  }

  async #findSlow(scope: Scope): Promise<void> {
    await this.#fast.run(scope);
    const { records } = this.#search;
    if (this.node.ignoresCache || records.size > 0) return;
    const open = this.#inputs.filter(({ state }) => !state.hasCandidates);
    if (open.length > 0) {
      await Promise.all(open.map(async (input) => await this.#widen(input, scope)));
      if (open.some(({ state }) => !state.hasCandidates)) return;
      await this.#search.match();
      if (records.size > 0) return;
    }
    const rest = this.#inputs.filter((input) => !open.includes(input));
    await Promise.all(
      rest.map(async (input) => {
        await input.edge.#slow.run(scope);
        await this.#probe(input);
      }),
    );
    await this.#search.match();
    if (records.size > 0) return;
    await Promise.all(this.#inputs.map(async (input) => await this.#probeContent(input, scope)));
    await this.#search.match();
  }

  /** Looks for keys that an input leads to, in the order of what they cost, until there is one. */
  async #widen(input: ResolverInput, scope: Scope): Promise<void> {
    await input.edge.#slow.run(scope);
    await this.#probe(input);
    if (input.state.hasCandidates) return;
    await this.#probeContent(input, scope);
    if (!input.state.hasCandidates) this.#prefetch();
  }

  /** Begins with all inputs: since one of them leads nowhere, no key can match, and all will be needed. */
  #prefetch(): void {
    const completing = this.#completing;
    if (completing === undefined || completing.begun) return;
    completing.begun = true;
    for (const { edge } of this.#inputs) edge.complete(completing.scope).catch(completing.fail);
  }

  async #probeContent(input: ResolverInput, scope: Scope): Promise<void> {
    const hasContent = this.#cacheMap?.deps[input.state.index]?.computeContentDigest !== undefined;
    if (!input.state.isWidened && hasContent) await this.#inputResult(input, scope);
  }

  /** The result of an input, ready for use, with its content key looked up. A result whose content is gone is built again. */
  async #inputResult({ edge, state }: ResolverInput, scope: Scope): Promise<EdgeResult> {
    for (let attempt = 0; ; attempt++) {
      const completed = await edge.complete(scope);
      try {
        const content = await this.node.inputDigest(state.index, completed.result, scope);
        const links = state.widen(content);
        if (this.#cacheMap !== undefined) await this.#search.query(state, this.#cacheMap.digest, links);
        return completed;
      } catch (error) {
        scope.throwIfAborted();
        const cause = error instanceof LostResult ? error.cause : error;
        const isLost = error instanceof LostResult || BuildError.from(error).code === "not_found";
        if (attempt < maxRewinds && isLost && (await edge.rewind(completed, cause))) continue;
        const about = { index: state.index, result: completed.result.id };
        throw this.node.failed(new InputKeyError(cause, about), "failed to compute cache key");
      }
    }
  }

  async #probeAll(): Promise<void> {
    await Promise.all(this.#inputs.map(async (input) => await this.#probe(input)));
  }

  /** Asks all stores for the keys that an input's new keys lead to. */
  async #probe({ edge, state }: ResolverInput): Promise<void> {
    if (this.#cacheMap === undefined) return;
    const { digest, deps } = this.#cacheMap;
    await this.#search.query(state, digest, state.takeNewLinks(edge.#keys, deps[state.index]?.selector));
  }

  async #finish(scope: Scope): Promise<EdgeResult> {
    const { promise: failed, reject: fail } = Promise.withResolvers<never>();
    failed.catch(() => undefined);
    this.#completing = { scope, fail, begun: false };
    try {
      return await Promise.race([this.#obtain(scope), failed]);
    } finally {
      this.#completing = undefined;
    }
  }

  async #obtain(scope: Scope): Promise<EdgeResult> {
    await this.#fast.run(scope);
    const fast = await this.#load(scope, false);
    if (fast !== undefined) return fast;
    if (this.#inputs.length === 0) return await this.#obtainSource(scope);
    await this.#slow.run(scope);
    const slow = await this.#load(scope, true);
    if (slow !== undefined) return slow;
    const inputs = await Promise.all(this.#inputs.map(async (input) => await this.#inputResult(input, scope)));
    this.#lookedAt = this.node.environment.flights.ended;
    // Everything that can be known without executing is known now: the last look before the work.
    await this.#probeAll();
    await this.#search.match();
    return (await this.#load(scope, true)) ?? (await this.#execute(inputs, scope));
  }

  async #obtainSource(scope: Scope): Promise<EdgeResult> {
    this.#lookedAt = this.node.environment.flights.ended;
    while (!this.#sourceDone) {
      await this.#findSource(scope);
      const found = await this.#load(scope, false);
      if (found !== undefined) return found;
    }
    return await this.#execute([], scope);
  }

  /** Loads the best record that can be loaded. One that cannot is as good as none. */
  async #load(scope: Scope, keepLinks: boolean): Promise<EdgeResult | undefined> {
    const { cache, losses, reporter } = this.node.environment;
    for (;;) {
      const best = this.#search.records.takeBest(cache.id);
      if (best === undefined) return undefined;
      if (losses.isGivenUp(best.store)) continue;
      try {
        const result = await this.node.load(best, scope);
        const key = keepLinks ? this.#fullKey(best.key) : best.key;
        if (keepLinks || best.store.id !== cache.id) {
          await askStore(cache, reporter, () => cache.save(key, result, best.record.createdAt));
        }
        return { result, keys: [key], record: best };
      } catch (error) {
        scope.throwIfAborted();
        if (BuildError.from(error).code === "not_found") continue;
        reporter.report(error, `load of the cached result of "${this.node.vertex.name}"`);
        this.node.warnOfLoss(error);
      }
    }
  }

  /** The key with the links of all that is known now, so that either way leads to it from now on. */
  #fullKey(key: SolverKey): SolverKey {
    if (this.#inputs.length === 0) return key;
    const full = key.withDeps(this.#allLinks());
    full.origin = key.origin;
    return full;
  }

  async #execute(inputs: readonly EdgeResult[], scope: Scope): Promise<EdgeResult> {
    const { node } = this;
    const { flights, cache } = node.environment;
    const keys = this.#ownKeys();
    const looked = this.#lookedAt;
    const isRecorded = async (): Promise<boolean> => flights.ended !== looked && (await this.#lookAgain());
    const results = inputs.map(({ result }) => result);
    const lock = execLock(keys, { vertex: node.vertex.digest, store: cache.id });
    await using step = this.#missedStep(keys, inputs);
    try {
      const all = await node.exec(results, { lock, scope, isRecorded, step });
      const recorded = await this.#record(all, keys);
      this.#recordStep(step, recorded);
      return recorded;
    } catch (error) {
      if (!(error instanceof RecordedMeanwhile)) throw error;
      await this.#lookAgain();
      return (await this.#load(scope, true)) ?? (await this.#execute(inputs, scope));
    } finally {
      await node.unlock();
    }
  }

  #missedStep(keys: readonly SolverKey[], inputs: readonly EdgeResult[]): HeldStep | undefined {
    const cacheMap = this.#cacheMap;
    if (this.node.environment.explainer === undefined || cacheMap === undefined) return undefined;
    const used = inputs.flatMap(({ result }, i) => {
      const input = this.#inputs[i];
      if (input === undefined) return [];
      const { vertex, log } = input.edge.node;
      return [{ vertex, state: input.state, result, explanation: log.explanation }];
    });
    return new HeldStep(this.node, { keys, cacheMap, inputs: used });
  }

  #recordStep(step: HeldStep | undefined, { keys, result }: EdgeResult): void {
    const { explainer } = this.node.environment;
    if (explainer === undefined || step === undefined || !keys.some(({ persistent }) => persistent)) return;
    const held = step.move();
    this.node.record(async () => {
      await using kept = held;
      await explainer.record(kept, result.id);
    });
  }

  /** Asks the main store once more for everything that is known. */
  async #lookAgain(): Promise<boolean> {
    if (this.node.ignoresCache) return false;
    const { flights, cache } = this.node.environment;
    this.#lookedAt = flights.ended;
    for (const digest of this.#sourceDigests) await this.#search.findRoot(digest, [cache]);
    const digest = this.#cacheMap?.digest;
    if (digest !== undefined) {
      for (const { state } of this.#inputs) await this.#search.query(state, digest, state.links);
    }
    if (this.#inputs.length > 0) await this.#search.match();
    return this.#search.records.size > 0;
  }

  async #record(results: readonly Result[], keys: readonly SolverKey[]): Promise<EdgeResult> {
    const { node } = this;
    const result = results[this.index];
    if (result === undefined) {
      const message = `invalid response from exec need ${this.index} index but ${results.length} results received`;
      throw node.failed(new BuildError("invalid_argument", message));
    }
    const saved = await recordResult(node, result, keys);
    // Not below something that ignores the cache: its steps are other ones now, although their definitions are the same.
    if (!node.isPrivate) this.#recorded.push(...saved);
    return { result, keys: saved, record: undefined };
  }

  #ownKeys(): SolverKey[] {
    if (this.#inputs.length === 0) return this.#sourceDigests.map((digest) => new SolverKey(digest, this.index));
    const digest = this.#cacheMap?.digest;
    if (digest === undefined) throw new TypeError("A vertex was executed before its cache map was known");
    return [new SolverKey(digest, this.index, this.#allLinks())];
  }

  #allLinks(): CacheKeyLink[][] {
    return this.#inputs.map(({ edge, state }) => {
      const known = [...edge.#keys, ...(edge.#complete.done?.value.keys ?? [])];
      return state.allLinks(known, this.#cacheMap?.deps[state.index]?.selector);
    });
  }
}

/** Whether asking once more, at another time, would be in vain. */
function isGone(error: unknown): boolean {
  const { code } = BuildError.from(error);
  return code === "not_found" || code === "data_loss";
}
