import { randomBytes } from "node:crypto";
import { BuildError } from "@buildkit-ts/errdefs";
import type { Digest } from "@buildkit-ts/oci";
import type { ResultLoader } from "./result-loader.ts";
import { rootKey } from "./root-key.ts";
import { isPersistent, SolverKey } from "./solver-key.ts";
import type { CacheKey, CacheKeyLink, CacheRecord, DirectCacheStore, KeyTarget, OpContext, Result } from "./types.ts";

/** How a key is reached from one of its inputs' keys. */
export interface KeyLink {
  readonly input: number;
  /** The root key of the digest and output index of the key that is linked to. */
  readonly digest: Digest;
  /** Empty for none. */
  readonly selector: string;
}

/** The link as one text, to find it by. */
export function linkText({ input, digest, selector }: KeyLink): string {
  return `${input} ${digest} ${selector}`;
}

export interface StoredResult {
  readonly id: string;
  readonly createdAt: number;
}

/** Where keys, links and results are kept. Synchronous, as each question is one look-up by an index. */
export interface KeyBackend {
  exists(key: string): boolean;
  targets(key: string, link: KeyLink): readonly string[];
  addLink(key: string, link: KeyLink, target: string): void;
  results(key: string): readonly StoredResult[];
  addResult(key: string, result: StoredResult): void;
  /** Removes the result from all keys, and the keys that lead to nothing any more. */
  release(result: string): void;
  keysOfResult(result: string): readonly string[];
  /** All keys that lead to `key`, and how. */
  sources(key: string): readonly { readonly key: string; readonly link: KeyLink }[];
  /** Runs changes that belong together. */
  transaction(changes: () => void): void;
}

/** A {@linkcode CacheStore} over a backend and a loader. Keys with inputs get random ids; those without, their root key. */
export class BackedCacheStore implements DirectCacheStore {
  readonly id: string;
  readonly #backend: KeyBackend;
  readonly #results: ResultLoader;

  constructor(id: string, backend: KeyBackend, results: ResultLoader) {
    this.id = id;
    this.#backend = backend;
    this.#results = results;
  }

  get backend(): KeyBackend {
    return this.#backend;
  }

  query(deps: readonly CacheKeyLink[], target: KeyTarget): Promise<SolverKey[]> {
    return Promise.resolve(this.queryNow(deps, target));
  }

  queryNow(deps: readonly CacheKeyLink[], target: KeyTarget): SolverKey[] {
    const { inputIndex, digest, output } = target;
    const root = rootKey(digest, output);
    if (deps.length === 0) {
      const known = this.#backend.exists(root);
      return known ? [new SolverKey(digest, output).setId(this.id, root)] : [];
    }
    const ids = new Set<string>();
    for (const { key, selector } of deps) {
      const id = this.#idOf(key);
      if (id === undefined) continue;
      const link = { input: inputIndex, digest: root, selector: selector ?? "" };
      for (const found of this.#backend.targets(id, link)) ids.add(found);
    }
    return Array.from(ids, (id) => new SolverKey(digest, output).setId(this.id, id));
  }

  async records(key: CacheKey): Promise<CacheRecord[]> {
    const id = this.#idOf(key);
    if (id === undefined) return [];
    const records: CacheRecord[] = [];
    for (const result of this.#backend.results(id)) {
      if (await this.#results.exists(result.id)) records.push({ ...result, priority: 0 });
      else await this.release(result.id);
    }
    return records;
  }

  recordsNow(key: CacheKey): CacheRecord[] | undefined {
    const id = this.#idOf(key);
    if (id === undefined) return [];
    const results = this.#backend.results(id);
    // A record whose result is gone is removed, which may have to be waited for.
    if (results.some((result) => this.#results.exists(result.id) !== true)) return undefined;
    return results.map((result) => ({ ...result, priority: 0 }));
  }

  async load(record: CacheRecord, context: OpContext): Promise<Result> {
    try {
      return await this.#results.load(record.id, context);
    } catch (error) {
      if (BuildError.from(error).code === "not_found") await this.release(record.id);
      throw error;
    }
  }

  async forget(record: CacheRecord): Promise<void> {
    await this.release(record.id);
  }

  async save(key: CacheKey, result: Result, createdAt: number): Promise<SolverKey> {
    const own = key instanceof SolverKey ? key : new SolverKey(key.digest, key.output, key.deps);
    if (!own.persistent) return own;
    const id = await this.#results.save(result);
    this.#backend.transaction(() => {
      const keyId = this.#ensure(own);
      // A result that is found again keeps the time at which it was made, unless it was made anew.
      if (!this.#backend.results(keyId).some((known) => known.id === id && known.createdAt >= createdAt)) {
        this.#backend.addResult(keyId, { id, createdAt });
      }
    });
    return own;
  }

  /** Forgets a result, and every key that leads to nothing without it. */
  async release(result: string): Promise<void> {
    if (this.#backend.keysOfResult(result).length === 0) return;
    this.#backend.transaction(() => this.#backend.release(result));
    await this.#results.release?.(result);
  }

  #idOf(key: CacheKey): string | undefined {
    const known = key instanceof SolverKey ? key.idIn(this.id) : undefined;
    if (known !== undefined) return known;
    if (key.deps.length > 0 || !isPersistent(key)) return undefined;
    return rootKey(key.digest, key.output);
  }

  /** Stores the links to a key, and to the keys that it depends on, as far as they are new. */
  #ensure(key: SolverKey): string {
    // With a stack of its own: a chain that was found elsewhere may be deeper than the call stack.
    const stack: SolverKey[] = [key];
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const missing = top.deps
        .flat()
        .map((link) => link.key)
        .filter((dep): dep is SolverKey => dep instanceof SolverKey && dep.persistent && this.#idOf(dep) === undefined);
      if (missing.length > 0) {
        stack.push(...missing);
        continue;
      }
      stack.pop();
      if (top === key || top.idIn(this.id) === undefined) this.#link(top);
    }
    return key.idIn(this.id) ?? rootKey(key.digest, key.output);
  }

  #link(key: SolverKey): void {
    const root = rootKey(key.digest, key.output);
    if (key.deps.length === 0) {
      key.setId(this.id, root);
      return;
    }
    const links = key.deps.map((deps, input) =>
      deps.flatMap(({ key: dep, selector }) => {
        const from = this.#idOf(dep);
        return from === undefined ? [] : [{ from, link: { input, digest: root, selector: selector ?? "" } }];
      }),
    );
    const id = key.idIn(this.id) ?? this.#commonTarget(links) ?? randomBytes(16).toString("hex");
    for (const { from, link } of links.flat()) {
      if (!this.#backend.targets(from, link).includes(id)) this.#backend.addLink(from, link, id);
    }
    key.setId(this.id, id);
  }

  /** The key that every input leads to already, if there is one. */
  #commonTarget(links: readonly (readonly { readonly from: string; readonly link: KeyLink }[])[]): string | undefined {
    let common: Set<string> | undefined;
    for (const ways of links) {
      const targets = new Set(ways.flatMap(({ from, link }) => this.#backend.targets(from, link)));
      common = common === undefined ? targets : common.intersection(targets);
      if (common.size === 0) return undefined;
    }
    for (const id of common ?? []) return id;
    return undefined;
  }
}
