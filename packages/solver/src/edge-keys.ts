import type { Digest } from "@buildkit-ts/oci";
import { KeySearch } from "./key-search.ts";
import type { ResolverInput } from "./resolver-input.ts";
import type { Scope } from "./scope.ts";
import { SolverKey } from "./solver-key.ts";
import type { CacheKeyLink, CacheMap, DirectCacheStore } from "./types.ts";
import type { VertexNode } from "./vertex-node.ts";

/** The keys of one edge: those that stores know, and those that its result is recorded by. Keys only ever come in addition. */
export class EdgeKeys {
  readonly inputs: readonly ResolverInput[];
  readonly search: KeySearch;
  readonly #node: VertexNode;
  readonly #index: number;
  readonly #recorded: SolverKey[] = [];
  readonly #sourceDigests: Digest[] = [];
  #isSourceDone = false;
  #lookedAt = -1;
  #cacheMap: CacheMap | undefined;

  constructor(node: VertexNode, index: number, inputs: readonly ResolverInput[]) {
    this.#node = node;
    this.#index = index;
    this.inputs = inputs;
    const states = inputs.map(({ state }) => state);
    this.search = new KeySearch(node, index, states);
  }

  /** What the step is known by besides its inputs, once it was asked for. */
  get cacheMap(): CacheMap | undefined {
    return this.#cacheMap;
  }

  /** Whether a source has no more keys to be asked for. */
  get isSourceDone(): boolean {
    return this.#isSourceDone;
  }

  /** Keys by which steps upon this edge can be looked for. */
  get known(): SolverKey[] {
    return [...this.search.keys, ...this.#recorded];
  }

  /** Takes in keys that a result was just recorded under. */
  addRecorded(keys: readonly SolverKey[]): void {
    this.#recorded.push(...keys);
  }

  /** Asks a source for keys until one has records, or there are no more. */
  async findSource(scope: Scope): Promise<void> {
    while (!this.#isSourceDone && this.search.records.size === 0) {
      const { cacheMap, done } = await this.#node.answers.cacheMap(this.#sourceDigests.length, scope);
      this.#sourceDigests.push(cacheMap.digest);
      this.#cacheMap = cacheMap;
      this.#isSourceDone = done;
      await this.search.findRoot(cacheMap.digest);
    }
  }

  /** Looks for keys by definition: by the keys of the inputs, without their results. */
  async findByDefinition(scope: Scope): Promise<void> {
    const [{ cacheMap }] = await Promise.all([
      this.#node.answers.cacheMap(0, scope),
      ...(this.#node.ignoresCache ? [] : this.inputs.map(async ({ edge }) => await edge.findFast(scope))),
    ]);
    this.#cacheMap = cacheMap;
    if (!this.#node.ignoresCache) await this.probeAll();
  }

  /**
   * Finds what {@linkcode EdgeKeys.findByDefinition}, or {@linkcode EdgeKeys.findSource} for a source, would find, where nobody
   * has to be waited for. @returns whether that is done. If not, they go on from where it stopped.
   */
  findNow(): boolean {
    const store = this.#node.directStore;
    if (this.#node.ignoresCache || store === undefined || !this.inputs.every(({ edge }) => edge.isFast)) return false;
    const cacheMap = this.#node.answers.cacheMapNow();
    if (cacheMap === undefined) return false;
    if (this.inputs.length === 0) return this.#findSourceNow(store, cacheMap);
    this.#cacheMap = cacheMap;
    const { digest, deps } = cacheMap;
    for (const { edge, state } of this.inputs) {
      const links = state.takeNewLinks(edge.keys, deps[state.index]?.selector);
      this.search.queryNow(store, { input: state, digest, links });
    }
    return this.search.matchNow(store);
  }

  #findSourceNow(store: DirectCacheStore, cacheMap: CacheMap): boolean {
    if (this.#sourceDigests.length > 0 || !this.search.findRootNow(store, cacheMap.digest)) return false;
    this.#sourceDigests.push(cacheMap.digest);
    this.#cacheMap = cacheMap;
    this.#isSourceDone = true;
    return true;
  }

  /** Asks all stores for the keys that all inputs' new keys lead to. */
  async probeAll(): Promise<void> {
    await Promise.all(this.inputs.map(async (input) => await this.probe(input)));
    await this.search.match();
  }

  /** Asks all stores for the keys that an input's new keys lead to. */
  async probe({ edge, state }: ResolverInput): Promise<void> {
    if (this.#cacheMap === undefined) return;
    const { digest, deps } = this.#cacheMap;
    await this.search.query(state, digest, state.takeNewLinks(edge.keys, deps[state.index]?.selector));
  }

  /** The last look before the work: everything that can be known without executing is known by now. */
  async lookFinally(): Promise<void> {
    this.noteLook();
    await this.probeAll();
  }

  /** Notes that the caller is about to look for all that was recorded until now. */
  noteLook(): void {
    this.#lookedAt = this.#node.environment.flights.ended;
  }

  /** Asks the main store for everything that is known, if something was executed since the last look. */
  async isFoundSince(look: number): Promise<boolean> {
    return this.#node.environment.flights.ended !== look && (await this.lookAgain());
  }

  /** When the last look was, for `isFoundSince()`. */
  get lookedAt(): number {
    return this.#lookedAt;
  }

  /** Asks the main store once more for everything that is known. */
  async lookAgain(): Promise<boolean> {
    if (this.#node.ignoresCache) return false;
    this.noteLook();
    for (const digest of this.#sourceDigests) await this.search.findRoot(digest, [this.#node.environment.cache]);
    const digest = this.#cacheMap?.digest;
    if (digest !== undefined) {
      for (const { state } of this.inputs) await this.search.query(state, digest, state.links);
    }
    if (this.inputs.length > 0) await this.search.match();
    return this.search.records.size > 0;
  }

  /** The keys that an execution records its result under. */
  own(): SolverKey[] {
    if (this.inputs.length === 0) return this.#sourceDigests.map((digest) => new SolverKey(digest, this.#index));
    const digest = this.#cacheMap?.digest;
    if (digest === undefined) throw new TypeError("A vertex was executed before its cache map was known");
    return [new SolverKey(digest, this.#index, this.#allLinks())];
  }

  /** The key with the links of all that is known now, so that either way leads to it from now on. */
  withAllLinks(key: SolverKey): SolverKey {
    if (this.inputs.length === 0) return key;
    const full = key.withDeps(this.#allLinks());
    full.origin = key.origin;
    return full;
  }

  #allLinks(): CacheKeyLink[][] {
    return this.inputs.map(({ edge, state }) => {
      const known = [...edge.keys, ...(edge.completed?.keys ?? [])];
      return state.allLinks(known, this.#cacheMap?.deps[state.index]?.selector);
    });
  }
}
