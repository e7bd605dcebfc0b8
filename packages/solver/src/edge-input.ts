import type { Digest } from "@buildkit-ts/oci";
import { contentOutput } from "./root-key.ts";
import { SeenLosses } from "./seen-losses.ts";
import { SolverKey } from "./solver-key.ts";
import type { CacheKey, CacheKeyLink, CacheStore } from "./types.ts";

/** What is known of one input of an edge: the links that lead from it, and the keys of the edge that they lead to. */
export class EdgeInput {
  readonly index: number;
  /** For each store the keys of the edge that this input leads to, by their ids there. */
  readonly #candidates = new Map<string, Map<string, SolverKey>>();
  readonly #asked = new Set<CacheKey>();
  #links: CacheKeyLink[] = [];
  #content: Digest | undefined;
  #isWidened = false;
  #losses: SeenLosses | undefined;

  constructor(index: number) {
    this.index = index;
  }

  /** Keys of the input by which stores were asked, with the op's selector. */
  get links(): readonly CacheKeyLink[] {
    return this.#links;
  }

  /** Whether the input's content key is known, or there is none. */
  get isWidened(): boolean {
    return this.#isWidened;
  }

  /** The content key of the input's result, once it is known. */
  get content(): Digest | undefined {
    return this.#content;
  }

  /** The input's results that turned out to be lost. */
  get losses(): SeenLosses {
    return (this.#losses ??= new SeenLosses());
  }

  get hasCandidates(): boolean {
    return this.#candidates.size > 0;
  }

  candidates(store: CacheStore): ReadonlyMap<string, SolverKey> | undefined {
    return this.#candidates.get(store.id);
  }

  addCandidate(store: CacheStore, key: SolverKey): void {
    let candidates = this.#candidates.get(store.id);
    if (candidates === undefined) this.#candidates.set(store.id, (candidates = new Map()));
    const id = key.idIn(store.id);
    if (id !== undefined) candidates.set(id, key);
  }

  /** Links to those of the keys by which no store was asked yet; they count as asked from now on. */
  takeNewLinks(keys: readonly SolverKey[], selector: Digest | undefined): CacheKeyLink[] {
    const links = keys.filter((key) => !this.#asked.has(key)).map((key) => ({ key, selector }));
    for (const link of links) {
      this.#asked.add(link.key);
      this.#links.push(link);
    }
    return links;
  }

  /**
   * Takes in what the content of the input's result is, or that it has no content key.
   *
   * @returns The link to ask stores by, if it is new. What an earlier result led to by its content is forgotten: that
   *   result was lost, and the one in its place may be another one.
   */
  widen(content: Digest | undefined): CacheKeyLink[] {
    if (this.#isWidened && content === this.#content) return [];
    if (this.#content !== undefined) {
      this.#candidates.clear();
      this.#links = this.#links.filter(({ key }) => key.output !== contentOutput || key.digest !== this.#content);
    }
    const isFirst = this.#content === undefined;
    this.#isWidened = true;
    this.#content = content;
    const links = content === undefined ? [] : this.takeNewLinks([new SolverKey(content, contentOutput)], undefined);
    return isFirst ? links : [...this.#links];
  }

  /** Everything that the input is known by, with the keys that its own edge has besides. */
  allLinks(keys: Iterable<SolverKey>, selector: Digest | undefined): CacheKeyLink[] {
    const links = new Map<CacheKey, CacheKeyLink>(this.#links.map((link) => [link.key, link]));
    for (const key of keys) if (!links.has(key)) links.set(key, { key, selector });
    return [...links.values()];
  }
}
