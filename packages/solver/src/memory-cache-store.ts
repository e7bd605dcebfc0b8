import { BackedCacheStore, type KeyBackend, type KeyLink, linkText, type StoredResult } from "./backed-cache-store.ts";
import type { ResultLoader } from "./result-loader.ts";

interface KeyEntry {
  /** By the link's text, the ids of the keys that it leads to. */
  readonly targets: Map<string, { readonly link: KeyLink; readonly ids: Set<string> }>;
  readonly sources: Map<string, Set<string>>;
  readonly results: Map<string, StoredResult>;
}

/** A {@linkcode CacheStore} whose keys live in memory. */
export class MemoryCacheStore extends BackedCacheStore {
  constructor(options: { readonly id: string; readonly results: ResultLoader }) {
    super(options.id, new MemoryKeyBackend(), options.results);
  }
}

class MemoryKeyBackend implements KeyBackend {
  readonly #keys = new Map<string, KeyEntry>();
  readonly #byResult = new Map<string, Set<string>>();

  exists(key: string): boolean {
    return this.#keys.has(key);
  }

  targets(key: string, link: KeyLink): readonly string[] {
    return [...(this.#keys.get(key)?.targets.get(linkText(link))?.ids ?? [])];
  }

  addLink(key: string, link: KeyLink, target: string): void {
    const text = linkText(link);
    const { targets } = this.#entry(key);
    let known = targets.get(text);
    if (known === undefined) targets.set(text, (known = { link, ids: new Set() }));
    known.ids.add(target);
    const { sources } = this.#entry(target);
    sources.set(key, (sources.get(key) ?? new Set()).add(text));
  }

  results(key: string): readonly StoredResult[] {
    return [...(this.#keys.get(key)?.results.values() ?? [])];
  }

  addResult(key: string, result: StoredResult): void {
    this.#entry(key).results.set(result.id, result);
    this.#byResult.set(result.id, (this.#byResult.get(result.id) ?? new Set()).add(key));
  }

  release(result: string): void {
    const keys = [...(this.#byResult.get(result) ?? [])];
    this.#byResult.delete(result);
    for (const key of keys) this.#keys.get(key)?.results.delete(result);
    this.#removeUnused(keys);
  }

  keysOfResult(result: string): readonly string[] {
    return [...(this.#byResult.get(result) ?? [])];
  }

  sources(key: string): readonly { readonly key: string; readonly link: KeyLink }[] {
    const found: { readonly key: string; readonly link: KeyLink }[] = [];
    for (const [source, texts] of this.#keys.get(key)?.sources ?? []) {
      for (const text of texts) {
        const link = this.#keys.get(source)?.targets.get(text)?.link;
        if (link !== undefined) found.push({ key: source, link });
      }
    }
    return found;
  }

  transaction(changes: () => void): void {
    changes();
  }

  #removeUnused(keys: readonly string[]): void {
    const pending = [...keys];
    for (let key = pending.pop(); key !== undefined; key = pending.pop()) {
      const entry = this.#keys.get(key);
      if (entry === undefined || entry.results.size > 0 || entry.targets.size > 0) continue;
      this.#keys.delete(key);
      for (const [source, texts] of entry.sources) {
        const targets = this.#keys.get(source)?.targets;
        for (const text of texts) {
          const ids = targets?.get(text)?.ids;
          ids?.delete(key);
          if (ids?.size === 0) targets?.delete(text);
        }
        pending.push(source);
      }
    }
  }

  #entry(key: string): KeyEntry {
    let entry = this.#keys.get(key);
    if (entry === undefined) {
      entry = { targets: new Map(), sources: new Map(), results: new Map() };
      this.#keys.set(key, entry);
    }
    return entry;
  }
}
