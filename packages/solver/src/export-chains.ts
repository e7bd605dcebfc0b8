import { type Digest, isDigest } from "@buildkit-ts/oci";
import { BackedCacheStore } from "./backed-cache-store.ts";
import { rootKey } from "./root-key.ts";
import { type FoundRecord, SolverKey } from "./solver-key.ts";
import type { CacheKey, ExportableCacheKey } from "./types.ts";

/** A result as it is exported: `R` is whatever the exporter can transfer, such as a list of blobs. */
export interface ExportedResult<R> {
  readonly createdAt: number;
  readonly remote: R;
  /** The vertex that the result was made for. */
  readonly vertex: Digest;
  readonly output: number;
}

export interface ExportedLink<N> {
  readonly record: N;
  /** Empty for none. */
  readonly selector: string;
}

/** Receives records, inputs before those that link to them. `N` is its own handle of a record. */
export interface ExportTarget<N, R> {
  /** The record of that digest and those links, the same one if it is known; undefined if it cannot be exported. */
  add(
    digest: Digest,
    deps: readonly (readonly ExportedLink<N>[])[],
    results: readonly ExportedResult<R>[],
  ): N | undefined;
}

export interface ExportOptions<N, R> {
  readonly target: ExportTarget<N, R>;
  /** `max` exports the result of every step, `min` that of the last one and those below it that can be transferred as they are. */
  readonly mode: "min" | "max";
  /** Whether results of sources, such as base images, are exported. */
  readonly exportRoots?: boolean;
  /** Leaves out chains to the same results that were not part of this build. */
  readonly ignoreBacklinks?: boolean;
  /**
   * What of a record can be transferred. With `create`, blobs are made if there are none yet.
   * Gives undefined where there is nothing to transfer, also when the result is gone.
   */
  resolve(
    found: FoundRecord,
    options: { readonly create: boolean; readonly signal: AbortSignal },
  ): Promise<R | undefined>;
  readonly signal: AbortSignal;
}

/** Walks from the keys of a result down to its sources and gives the target every record on the way. */
export async function exportChains<N, R>(
  keys: readonly ExportableCacheKey[],
  options: ExportOptions<N, R>,
): Promise<N[]> {
  const walk = new ExportWalk(options);
  const records: N[] = [];
  for (const { key } of keys) records.push(...(await walk.export(key, options.mode)));
  return records;
}

class ExportWalk<N, R> {
  readonly #options: ExportOptions<N, R>;
  readonly #exported = new Map<CacheKey, Promise<N[]>>();
  readonly #backlinks = new Map<string, N[]>();

  constructor(options: ExportOptions<N, R>) {
    this.#options = options;
  }

  export(key: CacheKey, mode: "min" | "max" | "existing"): Promise<N[]> {
    let exported = this.#exported.get(key);
    if (exported === undefined) this.#exported.set(key, (exported = this.#export(key, mode)));
    return exported;
  }

  async #export(key: CacheKey, mode: "min" | "max" | "existing"): Promise<N[]> {
    // Lets go of the call stack: a chain of keys may be deeper.
    await Promise.resolve();
    const { target, signal } = this.#options;
    signal.throwIfAborted();
    const results = await this.#results(key, mode);
    const below = mode === "min" && results.length > 0 ? "existing" : mode;
    const deps: ExportedLink<N>[][] = [];
    for (const links of key.deps) {
      const exported: ExportedLink<N>[] = [];
      for (const link of links) {
        for (const record of await this.export(link.key, below)) {
          exported.push({ record, selector: link.selector ?? "" });
        }
      }
      deps.push(exported);
    }
    if (this.#options.ignoreBacklinks !== true) this.#addBacklinks(key);
    if (deps.some((links) => links.length === 0)) return [];
    if (deps.length === 0) this.#addEqualRoots(key, results);
    const record = target.add(rootKey(key.digest, key.output), deps, results);
    return record === undefined ? [] : [record];
  }

  /** Adds the other keys without inputs by which the result is known, such as both keys of a base image. */
  #addEqualRoots(key: CacheKey, results: readonly ExportedResult<R>[]): void {
    const found = key instanceof SolverKey ? (key.origin?.records ?? []) : [];
    for (const { store, record } of found) {
      if (!(store instanceof BackedCacheStore)) continue;
      for (const id of store.backend.keysOfResult(record.id)) {
        if (isDigest(id) && store.backend.sources(id).length === 0) this.#options.target.add(id, [], results);
      }
    }
  }

  /** The newest result of a key that can be transferred. */
  async #results(key: CacheKey, mode: "min" | "max" | "existing"): Promise<ExportedResult<R>[]> {
    const origin = key instanceof SolverKey ? key.origin : undefined;
    const isRoot = key.deps.length === 0 && this.#options.exportRoots !== true;
    if (origin === undefined || origin.exportCache === false || isRoot) return [];
    const records = origin.records.toSorted((a, b) => b.record.createdAt - a.record.createdAt);
    for (const found of records) {
      const remote = await this.#options.resolve(found, {
        create: mode !== "existing",
        signal: this.#options.signal,
      });
      if (remote === undefined) continue;
      return [{ createdAt: found.record.createdAt, remote, vertex: origin.vertex, output: key.output }];
    }
    return [];
  }

  /** Adds all chains by which the stores know the key. */
  #addBacklinks(key: CacheKey): void {
    if (!(key instanceof SolverKey)) return;
    for (const { store } of key.origin?.records ?? []) {
      const id = store instanceof BackedCacheStore ? key.idIn(store.id) : undefined;
      if (id !== undefined && store instanceof BackedCacheStore) this.#addChains(store, id);
    }
  }

  #addChains(store: BackedCacheStore, root: string): void {
    // With a stack of its own; a key is entered once before and once after those that lead to it.
    const stack = [{ id: root, entered: false }];
    for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
      const { id } = top;
      const name = `${store.id} ${id}`;
      if (!top.entered) {
        if (this.#backlinks.has(name)) continue;
        this.#backlinks.set(name, []);
        stack.push({ id, entered: true });
        for (const { key } of store.backend.sources(id)) stack.push({ id: key, entered: false });
        continue;
      }
      this.#backlinks.set(name, this.#addChain(store, id));
    }
  }

  #addChain(store: BackedCacheStore, id: string): N[] {
    const { target } = this.#options;
    const sources = store.backend.sources(id);
    if (sources.length === 0) {
      const record = isDigest(id) ? target.add(id, [], []) : undefined;
      return record === undefined ? [] : [record];
    }
    const byDigest = new Map<Digest, ExportedLink<N>[][]>();
    for (const { key, link } of sources) {
      const deps = byDigest.get(link.digest) ?? [];
      byDigest.set(link.digest, deps);
      while (deps.length <= link.input) deps.push([]);
      for (const record of this.#backlinks.get(`${store.id} ${key}`) ?? []) {
        deps[link.input]?.push({ record, selector: link.selector });
      }
    }
    const records: N[] = [];
    for (const [digest, deps] of byDigest) {
      if (deps.some((links) => links.length === 0)) continue;
      const record = target.add(digest, deps, []);
      if (record !== undefined) records.push(record);
    }
    return records;
  }
}
