import { LRUCache } from "lru-cache";
import { type KeyBackend, type KeyLink, linkText, type StoredResult } from "./backed-cache-store.ts";

/** What is known of one key, as far as it was asked for. */
interface KeyAnswers {
  exists?: boolean;
  results?: readonly StoredResult[];
  /** By the link's text. */
  targets?: Map<string, readonly string[]>;
}

/** Some 20 MB with all that is known of them. */
const rememberedKeys = 32_768;

/**
 * Answers of a backend that nobody else writes to, until something changes them.
 *
 * A graph that is built again asks the same questions again, and each costs some microseconds in a database.
 */
export class RememberedKeys implements KeyBackend {
  readonly #backend: KeyBackend;
  readonly #known: LRUCache<string, KeyAnswers>;

  /** @param maxKeys Of how many keys answers are kept: those that were asked for last. */
  constructor(backend: KeyBackend, maxKeys: number = rememberedKeys) {
    this.#backend = backend;
    this.#known = new LRUCache({ max: maxKeys });
  }

  exists(key: string): boolean {
    return (this.#answers(key).exists ??= this.#backend.exists(key));
  }

  targets(key: string, link: KeyLink): readonly string[] {
    const known = (this.#answers(key).targets ??= new Map());
    const text = linkText(link);
    let targets = known.get(text);
    if (targets === undefined) known.set(text, (targets = this.#backend.targets(key, link)));
    return targets;
  }

  results(key: string): readonly StoredResult[] {
    return (this.#answers(key).results ??= this.#backend.results(key));
  }

  addLink(key: string, link: KeyLink, target: string): void {
    this.#forget(key);
    this.#forget(target);
    this.#backend.addLink(key, link, target);
  }

  addResult(key: string, result: StoredResult): void {
    this.#forget(key);
    this.#backend.addResult(key, result);
  }

  release(result: string): void {
    this.#known.clear();
    this.#backend.release(result);
  }

  keysOfResult(result: string): readonly string[] {
    return this.#backend.keysOfResult(result);
  }

  sources(key: string): ReturnType<KeyBackend["sources"]> {
    return this.#backend.sources(key);
  }

  transaction(changes: () => void): void {
    try {
      this.#backend.transaction(changes);
    } catch (error) {
      // Nothing of it came to be, and what was asked for within it was answered otherwise.
      this.#known.clear();
      throw error;
    }
  }

  #answers(key: string): KeyAnswers {
    let answers = this.#known.get(key);
    if (answers === undefined) this.#known.set(key, (answers = {}));
    return answers;
  }

  #forget(key: string): void {
    this.#known.delete(key);
  }
}
