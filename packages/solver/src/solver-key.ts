import type { Digest } from "@buildkit-ts/oci";
import { isRandom } from "./root-key.ts";
import type { CacheKey, CacheKeyLink, CacheRecord, CacheStore } from "./types.ts";

/** A record together with the store that can load it. */
export interface FoundRecord {
  readonly store: CacheStore;
  readonly record: CacheRecord;
  readonly key: SolverKey;
}

/** What cache export wants to know of a key besides the key. */
export interface KeyOrigin {
  /** The vertex that the key was made for. */
  readonly vertex: Digest;
  readonly exportCache: boolean | undefined;
  readonly records: readonly FoundRecord[];
}

/**
 * A {@linkcode CacheKey} as the solver and its stores make them.
 *
 * One key can be known to several stores, to each by an id of its own.
 */
export class SolverKey implements CacheKey {
  readonly digest: Digest;
  readonly output: number;
  readonly deps: readonly (readonly CacheKeyLink[])[];
  /** Whether the key can be found again: not if some input is known by nothing but a random digest. */
  readonly persistent: boolean;
  /** Undefined for content keys. */
  origin: KeyOrigin | undefined;
  /** The first store that knows the key, which is nearly always the only one, and the others. */
  #first: { readonly store: string; readonly id: string } | undefined;
  #others: Map<string, string> | undefined;

  constructor(digest: Digest, output: number, deps: readonly (readonly CacheKeyLink[])[] = []) {
    this.digest = digest;
    this.output = output;
    this.deps = deps;
    this.persistent = !isRandom(digest) && deps.every((links) => links.some((link) => isPersistent(link.key)));
  }

  get id(): string | undefined {
    return this.#first?.id;
  }

  idIn(store: string): string | undefined {
    return this.#first?.store === store ? this.#first.id : this.#others?.get(store);
  }

  setId(store: string, id: string): this {
    if (this.#first === undefined || this.#first.store === store) this.#first = { store, id };
    else {
      this.#others ??= new Map();
      this.#others.set(store, id);
    }
    return this;
  }

  /** The same key with other links; stores know it by the same ids. */
  withDeps(deps: readonly (readonly CacheKeyLink[])[]): SolverKey {
    const key = new SolverKey(this.digest, this.output, deps);
    key.#first = this.#first;
    if (this.#others !== undefined) key.#others = new Map(this.#others);
    return key;
  }
}

/** Whether links to the key may be stored. */
export function isPersistent(key: CacheKey): boolean {
  return key instanceof SolverKey ? key.persistent : !isRandom(key.digest);
}
