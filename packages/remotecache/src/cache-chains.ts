import { formatTime } from "@buildkit-ts/gotext";
import type { Descriptor, Digest } from "@buildkit-ts/oci";
import { type ExportedLink, type ExportedResult, type ExportTarget, isRandom } from "@buildkit-ts/solver";
import {
  type CacheConfig,
  type CacheConfigInput,
  type CacheConfigLayer,
  type CacheConfigRecord,
} from "./cache-config.ts";
import { normalizeConfig } from "./normalize-config.ts";

/** A result as a stack of blobs, bottom first. */
export interface Remote {
  readonly descriptors: readonly Descriptor[];
}

/** A record of {@linkcode CacheChains}. */
export interface ChainRecord {
  readonly digest: Digest;
}

interface Item extends ChainRecord {
  readonly results: ExportedResult<Remote>[];
  /** For each input the records that lead here, by their selectors. */
  readonly parents: Map<Item, Set<string>>[];
  readonly children: Map<string, Set<Item>>;
}

/**
 * Collects the records of an export, and makes the config of them.
 *
 * Records of one digest that share a link for each of their inputs are one record.
 */
export class CacheChains implements ExportTarget<ChainRecord, Remote> {
  readonly #roots = new Map<Digest, Item>();
  readonly #items = new Set<Item>();
  /** Records that turned out to be others; whoever added them still names them. */
  readonly #merged = new Map<Item, Item>();

  add(
    digest: Digest,
    deps: readonly (readonly ExportedLink<ChainRecord>[])[],
    results: readonly ExportedResult<Remote>[],
  ): ChainRecord | undefined {
    if (isRandom(digest)) return undefined;
    const links = deps.map((dep) => dep.map(({ record, selector }) => ({ item: this.#own(record), selector })));
    if (links.some((dep) => dep.length === 0)) throw new TypeError(`Record ${digest} has an input without links`);
    const item = links.length === 0 ? this.#root(digest) : this.#linked(digest, links);
    for (const result of results) addResult(item, result);
    return item;
  }

  /** The config of all records, and the descriptors of all blobs that it names. */
  toConfig(): { readonly config: CacheConfig; readonly descriptors: ReadonlyMap<Digest, Descriptor> } {
    const layers = new LayerList();
    const indices = new Map<Item, number>();
    const records: CacheConfigRecord[] = [];
    for (const item of this.#inDependencyOrder()) {
      const inputs = item.parents.map((parents) => inputsOf(parents, indices));
      // Nothing leads to it, once the links that would make circles are gone.
      if (inputs.some((links) => links.length === 0)) continue;
      const best = item.results.toSorted((a, b) => b.createdAt - a.createdAt)[0];
      const layer = best === undefined ? undefined : layers.add(best.remote.descriptors);
      indices.set(item, records.length);
      records.push({
        digest: item.digest,
        inputs,
        layers: layer === undefined || best === undefined ? [] : [{ layer, createdAt: formatTime(best.createdAt) }],
        chains: [],
      });
    }
    return { config: normalizeConfig({ layers: layers.layers, records }), descriptors: layers.descriptors };
  }

  #own(record: ChainRecord): Item {
    let item = record as Item;
    for (let next = this.#merged.get(item); next !== undefined; next = this.#merged.get(item)) item = next;
    if (!this.#items.has(item)) throw new TypeError(`Record ${record.digest} belongs to another export`);
    return item;
  }

  #root(digest: Digest): Item {
    const known = this.#roots.get(digest);
    if (known !== undefined) return known;
    const item = this.#create(digest, 0);
    this.#roots.set(digest, item);
    return item;
  }

  #create(digest: Digest, inputs: number): Item {
    const parents = Array.from({ length: inputs }, () => new Map<Item, Set<string>>());
    const item: Item = { digest, results: [], parents, children: new Map() };
    this.#items.add(item);
    return item;
  }

  #linked(digest: Digest, links: readonly (readonly { readonly item: Item; readonly selector: string }[])[]): Item {
    let common: Set<Item> | undefined;
    links.forEach((dep, input) => {
      const targets = new Set<Item>();
      for (const { item, selector } of dep) {
        for (const child of item.children.get(linkText(input, digest, selector)) ?? []) targets.add(child);
      }
      common = common === undefined ? targets : common.intersection(targets);
    });
    const [main = this.#create(digest, links.length), ...others] = common ?? [];
    for (const other of others) this.#merge(main, other);
    // A link to something that depends on the record would make a circle.
    const below = main.children.size === 0 ? new Set([main]) : descendants(main);
    links.forEach((dep, input) => {
      for (const { item: linked, selector } of dep) {
        const item = this.#own(linked);
        if (!below.has(item)) connect(item, main, { input, selector });
      }
    });
    return main;
  }

  /**
   * Two records turn out to be one: everything that leads to or from the second one leads to or from the first, except
   * what would make a circle.
   */
  #merge(main: Item, other: Item): void {
    for (const result of other.results) addResult(main, result);
    const outgoing = [...other.children.values()].flatMap((children) => [...children]);
    for (const child of new Set(outgoing)) {
      child.parents.forEach((parents, input) => {
        const selectors = parents.get(other);
        if (selectors === undefined) return;
        parents.delete(other);
        if (descendants(child).has(main)) return;
        for (const selector of selectors) connect(main, child, { input, selector });
      });
    }
    other.parents.forEach((parents, input) => {
      for (const [parent, selectors] of parents) {
        const isCircle = descendants(main).has(parent);
        for (const selector of selectors) {
          parent.children.get(linkText(input, other.digest, selector))?.delete(other);
          if (!isCircle) connect(parent, main, { input, selector });
        }
      }
    });
    this.#items.delete(other);
    this.#merged.set(other, main);
  }

  /** Those that lead to others first, with a stack of its own. */
  *#inDependencyOrder(): Generator<Item> {
    const entered = new Set<Item>();
    for (const start of this.#items) {
      const stack = [{ item: start, left: false }];
      for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
        if (top.left) {
          yield top.item;
          continue;
        }
        if (entered.has(top.item)) continue;
        entered.add(top.item);
        stack.push({ item: top.item, left: true });
        for (const parents of top.item.parents) for (const item of parents.keys()) stack.push({ item, left: false });
      }
    }
  }
}

/** The layers of a config, each stack of blobs once. */
class LayerList {
  readonly layers: CacheConfigLayer[] = [];
  readonly descriptors: Map<Digest, Descriptor> = new Map();
  readonly #indices = new Map<string, number>();

  /** The index of the topmost layer; undefined for an empty stack. */
  add(stack: readonly Descriptor[]): number | undefined {
    let top: number | undefined;
    for (const descriptor of stack) {
      this.descriptors.set(descriptor.digest, descriptor);
      const parent: number = top ?? -1;
      const text = `${parent} ${descriptor.digest}`;
      top = this.#indices.get(text);
      if (top === undefined) {
        top = this.layers.push({ blob: descriptor.digest, parent }) - 1;
        this.#indices.set(text, top);
      }
    }
    return top;
  }
}

function inputsOf(parents: Map<Item, Set<string>>, indices: ReadonlyMap<Item, number>): CacheConfigInput[] {
  const inputs: CacheConfigInput[] = [];
  for (const [item, selectors] of parents) {
    const link = indices.get(item);
    if (link !== undefined) for (const selector of selectors) inputs.push({ selector, link });
  }
  return inputs;
}

function connect(parent: Item, child: Item, by: { readonly input: number; readonly selector: string }): void {
  const text = linkText(by.input, child.digest, by.selector);
  parent.children.set(text, (parent.children.get(text) ?? new Set()).add(child));
  const parents = child.parents[by.input];
  parents?.set(parent, (parents.get(parent) ?? new Set()).add(by.selector));
}

function descendants(item: Item): Set<Item> {
  const found = new Set<Item>([item]);
  for (const next of found)
    for (const children of next.children.values()) for (const child of children) found.add(child);
  return found;
}

function addResult(item: Item, result: ExportedResult<Remote>): void {
  const blobs = (remote: Remote): string => remote.descriptors.map(({ digest }) => digest).join();
  const known = item.results.some(
    ({ createdAt, remote }) => createdAt === result.createdAt && blobs(remote) === blobs(result.remote),
  );
  if (!known) item.results.push(result);
}

function linkText(input: number, digest: Digest, selector: string): string {
  return `${input} ${digest} ${selector}`;
}
