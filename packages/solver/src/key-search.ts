import type { Digest } from "@buildkit-ts/oci";
import { askStore } from "./ask-store.ts";
import type { EdgeInput } from "./edge-input.ts";
import { FoundRecords } from "./found-records.ts";
import { SolverKey } from "./solver-key.ts";
import type { CacheKey, CacheKeyLink, CacheStore } from "./types.ts";
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
    for (const store of this.#node.stores) {
      const target = { inputIndex: input.index, digest, output: this.#output };
      const found = await this.#ask(store, () => store.query(links, target));
      for (const key of found ?? []) input.addCandidate(store, asSolverKey(key, []));
    }
  }

  /** Takes the keys that all inputs lead to. */
  async match(): Promise<void> {
    if (this.#node.ignoresCache) return;
    for (const store of this.#node.stores) {
      const [first, ...others] = this.#inputs.map((input) => input.candidates(store));
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
    const { vertex } = this.#node;
    const records = (await this.#ask(store, () => store.records(key))) ?? [];
    const found = records.map((record) => ({ store, record, key }));
    key.origin = { vertex: vertex.digest, exportCache: vertex.options.exportCache, records: found };
    for (const record of found) this.records.add(record);
    this.keys.push(key);
  }

  #ask<T>(store: CacheStore, question: () => Promise<T>): Promise<T | undefined> {
    return askStore(store, this.#node.environment.reporter, question);
  }
}

/** A store's key as the solver's own kind. */
export function asSolverKey(key: CacheKey, deps: SolverKey["deps"]): SolverKey {
  return key instanceof SolverKey ? key : new SolverKey(key.digest, key.output, deps);
}
