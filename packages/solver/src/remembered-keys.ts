import { type KeyBackend, type KeyLink, linkText, type StoredResult } from "./backed-cache-store.ts";

/** What is known of one key, as far as it was asked for. */
interface KeyAnswers {
  exists?: boolean;
  results?: readonly StoredResult[];
  /** By the link's text. */
  targets?: Map<string, readonly string[]>;
}

/** Some 10 MB with all that is known of them. */
const keysOfGeneration = 16_384;

/**
 * Answers of a backend that nobody else writes to, until something changes them.
 *
 * A graph that is built again asks the same questions again, and each costs some microseconds in a database. Kept are the
 * keys that were asked for lately: a full generation takes the place of the one before, from which keys that are asked for
 * move on.
 */
export class RememberedKeys implements KeyBackend {
  readonly #backend: KeyBackend;
  readonly #maxKeys: number;
  #young = new Map<string, KeyAnswers>();
  #old = new Map<string, KeyAnswers>();

  constructor(backend: KeyBackend, maxKeys: number = keysOfGeneration) {
    this.#backend = backend;
    this.#maxKeys = maxKeys;
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
    this.#forgetAll();
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
      this.#forgetAll();
      throw error;
    }
  }

  #answers(key: string): KeyAnswers {
    let answers = this.#young.get(key);
    if (answers !== undefined) return answers;
    answers = this.#old.get(key) ?? {};
    if (this.#young.size >= this.#maxKeys) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(key, answers);
    return answers;
  }

  #forget(key: string): void {
    this.#young.delete(key);
    this.#old.delete(key);
  }

  #forgetAll(): void {
    this.#young.clear();
    this.#old.clear();
  }
}
