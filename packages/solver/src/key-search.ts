import type { Digest } from "@buildkit-ts/oci";
import { askStore, askStoreNow } from "./ask-store.ts";
import type { EdgeInput } from "./edge-input.ts";
import { FoundRecords } from "./found-records.ts";
import { SolverKey } from "./solver-key.ts";
import type { CacheKey, CacheKeyLink, CacheRecord, CacheStore, DirectCacheStore, KeyTarget } from "./types.ts";
import type { VertexNode } from "./vertex-node.ts";

/** Asks stores for the keys of one edge, and keeps what they answered. */
export class KeySearch {
  readonly records: FoundRecords = new FoundRecords();
  /** Keys that stores know, each with the links that led to it. */
  readonly keys: SolverKey[] = [];
  readonly #node: VertexNode;
  readonly #output: number;
  readonly #inputs: readonly EdgeInput[];
  readonly #matched = new Set<string>();

  constructor(node: VertexNode, output: number, inputs: readonly EdgeInput[]) {
    this.#node = node;
    this.#output = output;
    this.#inputs = inputs;
  }

  /** Looks for a key without inputs, in one store or in all. */
  async findRoot(digest: Digest, stores: readonly CacheStore[] = this.#node.stores): Promise<void> {
    if (this.#node.ignoresCache) return;
    for (const store of stores) {
      const target = { inputIndex: 0, digest, output: this.#output };
      const found = await this.#ask(store, () => store.query([], target));
      for (const key of found ?? []) await this.#add(store, asSolverKey(key, []));
    }
  }

  /** Asks all stores for the keys that an input's links lead to. */
  async query(input: EdgeInput, digest: Digest, links: readonly CacheKeyLink[]): Promise<void> {
    if (links.length === 0 || this.#node.ignoresCache) return;
    const target = this.#targetOf(input, digest);
    for (const store of this.#node.stores)
      takeCandidates(input, store, await this.#ask(store, () => store.query(links, target)));
  }

  /** Takes the keys that all inputs lead to. */
  async match(): Promise<void> {
    if (this.#node.ignoresCache) return;
    for (const store of this.#node.stores) for (const key of this.#matches(store)) await this.#add(store, key);
  }

  /** {@linkcode KeySearch.findRoot} in the only store, at once. @returns whether all is known that it would find. */
  findRootNow(store: DirectCacheStore, digest: Digest): boolean {
    const found = this.#askNow(store, () => store.queryNow([], { inputIndex: 0, digest, output: this.#output }));
    return (found ?? []).every((key) => this.#addNow(store, asSolverKey(key, [])));
  }

  /** {@linkcode KeySearch.query} of the only store, at once. */
  queryNow(
    store: DirectCacheStore,
    question: { readonly input: EdgeInput; readonly digest: Digest; readonly links: readonly CacheKeyLink[] },
  ): void {
    const { input, digest, links } = question;
    if (links.length === 0) return;
    takeCandidates(
      input,
      store,
      this.#askNow(store, () => store.queryNow(links, this.#targetOf(input, digest))),
    );
  }

  /** {@linkcode KeySearch.match} in the only store, at once. @returns whether all is known that it would find. */
  matchNow(store: DirectCacheStore): boolean {
    return [...this.#matches(store)].every((key) => this.#addNow(store, key));
  }

  #targetOf(input: EdgeInput, digest: Digest): KeyTarget {
    return { inputIndex: input.index, digest, output: this.#output };
  }

  /** The keys of a store that all inputs lead to, but those that were taken. */
  *#matches(store: CacheStore): Generator<SolverKey, void> {
    const [first, ...others] = this.#inputs.map((input) => input.candidates(store));
    for (const [id, key] of first ?? []) {
      if (this.#matched.has(`${store.id} ${id}`) || !others.every((candidates) => candidates?.has(id))) continue;
      yield key.withDeps(this.#inputs.map((input) => [...input.links]));
    }
  }

  async #add(store: CacheStore, key: SolverKey): Promise<void> {
    const id = idOf(store, key);
    if (this.#matched.has(id)) return;
    this.#matched.add(id);
    this.#take(store, key, (await this.#ask(store, () => store.records(key))) ?? []);
  }

  /** @returns false if the store has to be waited for. */
  #addNow(store: DirectCacheStore, key: SolverKey): boolean {
    const id = idOf(store, key);
    if (this.#matched.has(id)) return true;
    const records = this.#askNow(store, () => store.recordsNow(key));
    if (records === undefined) return false;
    this.#matched.add(id);
    this.#take(store, key, records);
    return true;
  }

  #take(store: CacheStore, key: SolverKey, records: readonly CacheRecord[]): void {
    const { vertex } = this.#node;
    const found = records.map((record) => ({ store, record, key }));
    key.origin = { vertex: vertex.digest, exportCache: vertex.options.exportCache, records: found };
    for (const record of found) this.records.add(record);
    this.keys.push(key);
  }

  #ask<T>(store: CacheStore, question: () => Promise<T>): Promise<T | undefined> {
    return askStore(store, this.#node.environment.reporter, question);
  }

  #askNow<T>(store: CacheStore, question: () => T): T | undefined {
    return askStoreNow(store, this.#node.environment.reporter, question);
  }
}

function idOf(store: CacheStore, key: SolverKey): string {
  return `${store.id} ${key.idIn(store.id) ?? ""}`;
}

function takeCandidates(input: EdgeInput, store: CacheStore, found: readonly CacheKey[] | undefined): void {
  for (const key of found ?? []) input.addCandidate(store, asSolverKey(key, []));
}

/** A store's key as the solver's own kind. */
export function asSolverKey(key: CacheKey, deps: SolverKey["deps"]): SolverKey {
  return key instanceof SolverKey ? key : new SolverKey(key.digest, key.output, deps);
}
