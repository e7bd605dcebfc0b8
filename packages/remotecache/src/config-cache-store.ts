import { BuildError } from "@buildkit-ts/errdefs";
import { type Digest, digestOf } from "@buildkit-ts/oci";
import {
  BackedCacheStore,
  type KeyBackend,
  type KeyLink,
  type OpContext,
  type Result,
  type ResultLoader,
  type StoredResult,
} from "@buildkit-ts/solver";
import type { CacheConfig, CacheConfigRecord } from "./cache-config.ts";

/** Makes results of blobs that an imported cache names. */
export interface RemoteResultLoader {
  /**
   * A result of these layers, bottom first. It may be lazy.
   *
   * @throws {BuildError} `not_found`, when the cache does not have the blobs.
   */
  load(layers: readonly Digest[], context: OpContext): Promise<Result>;
  /** Whether the cache has all of the blobs, as far as that is known without asking for them. */
  exists(layers: readonly Digest[]): Promise<boolean>;
}

/** A cache that was imported: its keys and results as a {@linkcode CacheStore}, into which nothing is saved. */
export class ConfigCacheStore extends BackedCacheStore {
  constructor(id: string, config: CacheConfig, remote: RemoteResultLoader) {
    const backend = new ConfigKeyBackend(config);
    super(id, backend, new LayerResults(backend, remote));
  }
}

class LayerResults implements ResultLoader {
  readonly #backend: ConfigKeyBackend;
  readonly #remote: RemoteResultLoader;

  constructor(backend: ConfigKeyBackend, remote: RemoteResultLoader) {
    this.#backend = backend;
    this.#remote = remote;
  }

  save(): Promise<string> {
    return Promise.reject(new BuildError("failed_precondition", "Cannot save result: an imported cache is immutable"));
  }

  async load(id: string, context: OpContext): Promise<Result> {
    const layers = this.#backend.layersOf(id);
    if (layers === undefined) throw new BuildError("not_found", `Cannot load result "${id}": not in the cache`);
    return await this.#remote.load(layers, context);
  }

  async exists(id: string): Promise<boolean> {
    const layers = this.#backend.layersOf(id);
    return layers !== undefined && (await this.#remote.exists(layers));
  }
}

class ConfigKeyBackend implements KeyBackend {
  readonly #keys = new Set<string>();
  readonly #targets = new Map<string, string[]>();
  readonly #sources = new Map<string, { readonly key: string; readonly link: KeyLink }[]>();
  readonly #results = new Map<string, StoredResult[]>();
  readonly #layers = new Map<string, { readonly layers: readonly Digest[]; readonly keys: Set<string> }>();

  constructor({ layers, records }: CacheConfig) {
    // A record without inputs is looked for by its digest, all others by the links to them.
    const ids = records.map((record, i) => (record.inputs.length === 0 ? record.digest : `record ${i}`));
    const idOf = (i: number): string => ids[i] ?? "";
    records.forEach((record, i) => {
      const id = idOf(i);
      this.#keys.add(id);
      record.inputs.forEach((links, input) => {
        for (const { selector, link } of links)
          this.addLink(idOf(link), { input, digest: record.digest, selector }, id);
      });
      for (const result of stacksOf(record, layers)) {
        const resultId = digestOf(result.layers.join(""));
        this.addResult(id, { id: resultId, createdAt: result.createdAt });
        const known = this.#layers.get(resultId) ?? { layers: result.layers, keys: new Set() };
        known.keys.add(id);
        this.#layers.set(resultId, known);
      }
    });
  }

  layersOf(result: string): readonly Digest[] | undefined {
    return this.#layers.get(result)?.layers;
  }

  exists(key: string): boolean {
    return this.#keys.has(key);
  }

  targets(key: string, link: KeyLink): readonly string[] {
    return this.#targets.get(linkText(key, link)) ?? [];
  }

  addLink(key: string, link: KeyLink, target: string): void {
    const text = linkText(key, link);
    const targets = this.#targets.get(text);
    if (targets === undefined) this.#targets.set(text, [target]);
    else if (!targets.includes(target)) targets.push(target);
    const sources = this.#sources.get(target);
    if (sources === undefined) this.#sources.set(target, [{ key, link }]);
    else sources.push({ key, link });
  }

  results(key: string): readonly StoredResult[] {
    return this.#results.get(key) ?? [];
  }

  addResult(key: string, result: StoredResult): void {
    const results = this.#results.get(key);
    if (results === undefined) this.#results.set(key, [result]);
    else if (!results.some(({ id }) => id === result.id)) results.push(result);
  }

  release(result: string): void {
    for (const key of this.keysOfResult(result)) {
      this.#results.set(
        key,
        this.results(key).filter(({ id }) => id !== result),
      );
    }
    this.#layers.delete(result);
  }

  keysOfResult(result: string): readonly string[] {
    return [...(this.#layers.get(result)?.keys ?? [])];
  }

  sources(key: string): readonly { readonly key: string; readonly link: KeyLink }[] {
    return this.#sources.get(key) ?? [];
  }

  transaction(changes: () => void): void {
    changes();
  }
}

/** A record's results, each as all of its layers, bottom first. */
function stacksOf(
  record: CacheConfigRecord,
  layers: CacheConfig["layers"],
): { readonly layers: readonly Digest[]; readonly createdAt: number }[] {
  const whole = record.layers.map(({ layer, createdAt }) => {
    const stack: Digest[] = [];
    for (let at = layers[layer]; at !== undefined; at = layers[at.parent]) stack.push(at.blob);
    return { layers: stack.toReversed(), createdAt: Date.parse(createdAt) };
  });
  const chained = record.chains.map((chain) => ({
    layers: chain.layers.flatMap((layer) => layers[layer]?.blob ?? []),
    createdAt: Date.parse(chain.createdAt),
  }));
  return [...whole, ...chained].filter((stack) => stack.layers.length > 0);
}

function linkText(key: string, { input, digest, selector }: KeyLink): string {
  return `${key} ${input} ${digest} ${selector}`;
}
