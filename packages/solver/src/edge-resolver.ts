import { BuildError } from "@buildkit-ts/errdefs";
import type { Digest } from "@buildkit-ts/oci";
import { RecordedMeanwhile } from "./exec-flights.ts";
import { contentOutput } from "./root-key.ts";
import type { Scope } from "./scope.ts";
import { SharedTask } from "./shared-task.ts";
import { type FoundRecord, SolverKey } from "./solver-key.ts";
import type { CacheKey, CacheKeyLink, CacheMap, CacheStore, Result } from "./types.ts";
import type { VertexNode } from "./vertex-node.ts";

/** What is known of one input of an edge. */
interface InputState {
  readonly edge: EdgeResolver;
  readonly index: number;
  /** Keys of the input by which stores were asked, with the op's selector. */
  readonly links: CacheKeyLink[];
  readonly asked: Set<CacheKey>;
  /** For each store the keys of the edge that this input leads to, by their ids there. */
  readonly candidates: Map<string, Map<string, SolverKey>>;
  /** Whether the input's content key is known, or there is none. */
  widened: boolean;
}

/** A result of an edge, with the keys by which it is known. */
export interface EdgeResult {
  readonly result: Result;
  readonly keys: readonly SolverKey[];
  /** The record that it was loaded from; undefined if the op was executed. */
  readonly record: FoundRecord | undefined;
}

/**
 * One output of a vertex on its way to a result.
 *
 *     fast ──▶ slow ──▶ complete
 *
 * *fast* looks for keys by definition: the keys of the inputs, without results. *slow* looks for more by the content of
 * inputs, which needs their results, but not this edge's own. *complete* loads what was found, or executes. Keys only ever
 * come in addition, so an edge that was asked for less goes on where it stopped.
 */
export class EdgeResolver {
  readonly node: VertexNode;
  readonly index: number;
  /** Keys by which steps upon this edge can be looked for. */
  readonly keys: SolverKey[] = [];
  readonly #fast: SharedTask<void>;
  readonly #slow: SharedTask<void>;
  readonly #complete: SharedTask<EdgeResult>;
  readonly #inputs: InputState[];
  readonly #matched = new Set<string>();
  readonly #records = new Map<string, FoundRecord>();
  readonly #spent = new Set<string>();
  readonly #sourceDigests: Digest[] = [];
  #sourceDone = false;
  #lookedAt = -1;
  #cacheMap: CacheMap | undefined;
  #completing: { readonly scope: Scope; readonly fail: (error: unknown) => void; begun: boolean } | undefined;

  constructor(node: VertexNode, index: number) {
    this.node = node;
    this.index = index;
    this.#inputs = node.inputs.map((edge, i) => ({
      edge,
      index: i,
      links: [],
      asked: new Set(),
      candidates: new Map(),
      widened: false,
    }));
    this.#fast = new SharedTask(async (scope) => await this.#findFast(scope));
    this.#slow = new SharedTask(async (scope) => await this.#findSlow(scope));
    this.#complete = new SharedTask(async (scope) => await this.#finish(scope));
  }

  complete(scope: Scope): Promise<EdgeResult> {
    return this.#complete.run(scope);
  }

  async settled(): Promise<void> {
    await Promise.all([this.#fast.settled(), this.#slow.settled(), this.#complete.settled()]);
  }

  /** Forgets a loaded result whose content turned out to be gone; what asks next gets it from elsewhere. */
  invalidate(lost: EdgeResult): void {
    if (this.#complete.done?.value === lost) this.#complete.reset();
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
    await Promise.all(this.#inputs.map((input) => this.#probe(input)));
    await this.#match();
  }

  /** Asks a source for keys until one has records, or there are no more. */
  async #findSource(scope: Scope): Promise<void> {
    while (!this.#sourceDone && this.#records.size === 0) {
      const { cacheMap, done } = await this.node.cacheMap(this.#sourceDigests.length, scope);
      this.#sourceDigests.push(cacheMap.digest);
      this.#sourceDone = done;
      if (this.node.ignoresCache) continue;
      for (const store of this.node.stores) await this.#findRoot(store, cacheMap.digest);
    }
  }

  async #findRoot(store: CacheStore, digest: Digest): Promise<void> {
    const found = await this.#ask(store, () => store.query([], { inputIndex: 0, digest, output: this.index }));
    for (const key of found ?? []) await this.#add(store, asSolverKey(key, []));
  }

  async #findSlow(scope: Scope): Promise<void> {
    await this.#fast.run(scope);
    if (this.node.ignoresCache || this.#records.size > 0) return;
    const open = this.#inputs.filter((input) => !hasCandidates(input));
    if (open.length > 0) {
      await Promise.all(open.map((input) => this.#widen(input, scope)));
      if (open.some((input) => !hasCandidates(input))) return;
      await this.#match();
      if (this.#records.size > 0) return;
    }
    const rest = this.#inputs.filter((input) => !open.includes(input));
    await Promise.all(
      rest.map(async (input) => {
        await input.edge.#slow.run(scope);
        await this.#probe(input);
      }),
    );
    await this.#match();
    if (this.#records.size > 0) return;
    await Promise.all(this.#inputs.map((input) => this.#probeContent(input, scope)));
    await this.#match();
  }

  /** Looks for keys that an input leads to, in the order of what they cost, until there is one. */
  async #widen(input: InputState, scope: Scope): Promise<void> {
    await input.edge.#slow.run(scope);
    await this.#probe(input);
    if (hasCandidates(input)) return;
    await this.#probeContent(input, scope);
    if (!hasCandidates(input)) this.#prefetch();
  }

  /** Begins with all inputs: since one of them leads nowhere, no key can match, and all will be needed. */
  #prefetch(): void {
    const completing = this.#completing;
    if (completing === undefined || completing.begun) return;
    completing.begun = true;
    for (const { edge } of this.#inputs) edge.complete(completing.scope).catch(completing.fail);
  }

  async #probeContent(input: InputState, scope: Scope): Promise<void> {
    if (input.widened || this.#cacheMap?.deps[input.index]?.computeContentDigest === undefined) return;
    await this.#inputResult(input, scope);
  }

  /** The result of an input, ready for use, with its content key looked up. A result whose content is gone is built again. */
  async #inputResult(input: InputState, scope: Scope): Promise<EdgeResult> {
    for (let attempt = 0; ; attempt++) {
      const completed = await input.edge.complete(scope);
      try {
        const digest = await this.node.inputDigest(input.index, completed.result, scope);
        if (!input.widened && digest !== undefined) await this.#probeDigest(input, digest);
        input.widened = true;
        return completed;
      } catch (error) {
        scope.throwIfAborted();
        const gone = BuildError.from(error).code === "not_found" && completed.record !== undefined;
        if (!gone || attempt >= 3) throw this.node.failed(error, "failed to compute cache key");
        input.edge.invalidate(completed);
      }
    }
  }

  async #probeDigest(input: InputState, digest: Digest): Promise<void> {
    await this.#probeLinks(input, [{ key: new SolverKey(digest, contentOutput), selector: undefined }]);
  }

  /** Asks all stores for the keys that an input's new keys lead to. */
  async #probe(input: InputState): Promise<void> {
    const selector = this.#cacheMap?.deps[input.index]?.selector;
    const links = input.edge.keys.filter((key) => !input.asked.has(key)).map((key) => ({ key, selector }));
    if (links.length > 0) await this.#probeLinks(input, links);
  }

  async #probeLinks(input: InputState, links: readonly CacheKeyLink[]): Promise<void> {
    for (const link of links) {
      input.asked.add(link.key);
      input.links.push(link);
    }
    await this.#query(input, links);
  }

  async #query(input: InputState, links: readonly CacheKeyLink[]): Promise<void> {
    const digest = this.#cacheMap?.digest;
    if (digest === undefined || this.node.ignoresCache) return;
    for (const store of this.node.stores) {
      const found = await this.#ask(store, () =>
        store.query(links, { inputIndex: input.index, digest, output: this.index }),
      );
      for (const key of found ?? []) {
        const solverKey = asSolverKey(key, []);
        let candidates = input.candidates.get(store.id);
        if (candidates === undefined) input.candidates.set(store.id, (candidates = new Map()));
        const id = solverKey.idIn(store.id);
        if (id !== undefined) candidates.set(id, solverKey);
      }
    }
  }

  /** Takes the keys that all inputs lead to. */
  async #match(): Promise<void> {
    for (const store of this.node.stores) {
      const [first, ...others] = this.#inputs.map((input) => input.candidates.get(store.id));
      for (const [id, key] of first ?? []) {
        if (this.#matched.has(`${store.id} ${id}`) || !others.every((candidates) => candidates?.has(id))) continue;
        await this.#add(store, key.withDeps(this.#inputs.map((input) => [...input.links])));
      }
    }
  }

  async #add(store: CacheStore, key: SolverKey): Promise<void> {
    const id = `${store.id} ${key.idIn(store.id) ?? ""}`;
    if (this.#matched.has(id)) return;
    this.#matched.add(id);
    const records = (await this.#ask(store, () => store.records(key))) ?? [];
    const found = records.map((record): FoundRecord => ({ store, record, key }));
    key.origin = {
      vertex: this.node.vertex.digest,
      exportCache: this.node.vertex.options.exportCache,
      records: found,
    };
    for (const record of found) {
      const recordId = `${store.id} ${record.record.id}`;
      if (!this.#spent.has(recordId)) this.#records.set(recordId, record);
    }
    this.keys.push(key);
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
    const inputs = await Promise.all(this.#inputs.map((input) => this.#inputResult(input, scope)));
    this.#lookedAt = this.node.environment.flights.ended;
    // Everything that can be known without executing is known now: the last look before the work.
    await Promise.all(this.#inputs.map((input) => this.#probe(input)));
    if (!this.node.ignoresCache) await this.#match();
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
    for (let best = this.#bestRecord(); best !== undefined; best = this.#bestRecord()) {
      const id = `${best.store.id} ${best.record.id}`;
      this.#records.delete(id);
      this.#spent.add(id);
      try {
        const result = await this.node.load(best, scope);
        const { cache } = this.node.environment;
        const key = keepLinks ? this.#fullKey(best.key) : best.key;
        if (keepLinks || best.store.id !== cache.id) {
          await this.#ask(cache, () => cache.save(key, result, best.record.createdAt));
        }
        return { result, keys: [key], record: best };
      } catch (error) {
        scope.throwIfAborted();
        if (BuildError.from(error).code !== "not_found") {
          this.node.environment.reporter.report(error, `load of the cached result of "${this.node.vertex.name}"`);
        }
      }
    }
    return undefined;
  }

  #bestRecord(): FoundRecord | undefined {
    const main = this.node.environment.cache.id;
    const rank = (found: FoundRecord): number => (found.store.id === main ? 1 : 0);
    let best: FoundRecord | undefined;
    for (const found of this.#records.values()) {
      const newer = best === undefined ? 1 : found.record.createdAt - best.record.createdAt;
      if (best === undefined || newer > 0 || (newer === 0 && rank(found) > rank(best))) best = found;
    }
    return best;
  }

  /** The key with the links of all that is known now, so that either way leads to it from now on. */
  #fullKey(key: SolverKey): SolverKey {
    if (this.#inputs.length === 0) return key;
    const full = key.withDeps(this.#inputs.map((input) => this.#allLinks(input)));
    full.origin = key.origin;
    return full;
  }

  async #execute(inputs: readonly EdgeResult[], scope: Scope): Promise<EdgeResult> {
    const { node } = this;
    const { flights } = node.environment;
    const keys = this.#ownKeys();
    const looked = this.#lookedAt;
    const isRecorded = async (): Promise<boolean> => flights.ended !== looked && (await this.#lookAgain());
    const results = inputs.map(({ result }) => result);
    try {
      const all = await node.exec(results, { lock: this.#lock(keys), scope, isRecorded });
      return await this.#record(all, keys);
    } catch (error) {
      if (!(error instanceof RecordedMeanwhile)) throw error;
      await this.#lookAgain();
      return (await this.#load(scope, true)) ?? (await this.#execute(inputs, scope));
    } finally {
      await node.unlock();
    }
  }

  /** Asks the main store once more for everything that is known. */
  async #lookAgain(): Promise<boolean> {
    if (this.node.ignoresCache) return false;
    this.#lookedAt = this.node.environment.flights.ended;
    for (const digest of this.#sourceDigests) await this.#findRoot(this.node.environment.cache, digest);
    for (const input of this.#inputs) await this.#query(input, input.links);
    if (this.#inputs.length > 0) await this.#match();
    return this.#records.size > 0;
  }

  async #record(results: readonly Result[], keys: readonly SolverKey[]): Promise<EdgeResult> {
    const { node } = this;
    const result = results[this.index];
    if (result === undefined) {
      const message = `invalid response from exec need ${this.index} index but ${results.length} results received`;
      throw node.failed(new BuildError("invalid_argument", message));
    }
    const { cache, now } = node.environment;
    const createdAt = now();
    const saved: SolverKey[] = [];
    for (const key of keys) {
      const kept = await this.#ask(cache, () => cache.save(key, result, createdAt));
      const own = kept === undefined ? key : asSolverKey(kept, key.deps);
      const records = (own.persistent ? await this.#ask(cache, () => cache.records(own)) : undefined) ?? [];
      own.origin = {
        vertex: node.vertex.digest,
        exportCache: node.vertex.options.exportCache,
        records: records.map((record) => ({ store: cache, record, key: own })),
      };
      saved.push(own);
    }
    // Not below something that ignores the cache: its steps are other ones now, although their definitions are the same.
    if (!node.isPrivate) this.keys.push(...saved);
    return { result, keys: saved, record: undefined };
  }

  #ownKeys(): SolverKey[] {
    if (this.#inputs.length === 0) return this.#sourceDigests.map((digest) => new SolverKey(digest, this.index));
    const digest = this.#cacheMap?.digest;
    if (digest === undefined) throw new TypeError("A vertex was executed before its cache map was known");
    return [
      new SolverKey(
        digest,
        this.index,
        this.#inputs.map((input) => this.#allLinks(input)),
      ),
    ];
  }

  /** Everything that an input is known by. */
  #allLinks(input: InputState): CacheKeyLink[] {
    const selector = this.#cacheMap?.deps[input.index]?.selector;
    const links = new Map<CacheKey, CacheKeyLink>(input.links.map((link) => [link.key, link]));
    const known = [...input.edge.keys, ...(input.edge.#complete.done?.value.keys ?? [])];
    for (const key of known) if (!links.has(key)) links.set(key, { key, selector });
    return [...links.values()];
  }

  /** Equal for vertices whose results are interchangeable: the op, and of each input its content or its key. */
  #lock(keys: readonly SolverKey[]): string {
    const { cache } = this.node.environment;
    const [key] = keys;
    if (key === undefined || key.deps.length === 0) return keys.map(({ digest }) => digest).join(" ");
    const inputs = key.deps.map((links) => {
      const content = links.find((link) => link.key.output === contentOutput);
      if (content !== undefined) return content.key.digest;
      const ids = links.flatMap(({ key: k, selector }) => {
        const id = k instanceof SolverKey ? k.idIn(cache.id) : undefined;
        return id === undefined ? [] : [`${id}+${selector ?? ""}`];
      });
      return ids[0] ?? this.node.vertex.digest;
    });
    return [key.digest, ...inputs].join(" ");
  }

  /** A store that fails is as good as one that has nothing: a cache never fails a build. */
  async #ask<T>(store: CacheStore, question: () => Promise<T>): Promise<T | undefined> {
    try {
      return await question();
    } catch (error) {
      this.node.environment.reporter.report(error, `use of the cache "${store.id}"`);
      return undefined;
    }
  }
}

function hasCandidates(input: InputState): boolean {
  return input.candidates.size > 0;
}

function asSolverKey(key: CacheKey, deps: SolverKey["deps"]): SolverKey {
  if (key instanceof SolverKey) return key;
  return new SolverKey(key.digest, key.output, deps);
}
