import { BuildError } from "@buildkit-ts/errdefs";
import type { ResultLoader } from "../result-loader.ts";
import type { Result } from "../types.ts";

/** How many holds there are, and how many were given up more than once. */
export interface FakeHolds {
  count: number;
  freedTwice: number;
}

/** A value that counts its holds. */
export class FakeResult implements Result {
  readonly id: string;
  readonly value: string;
  readonly #holds: FakeHolds;
  #disposed = false;

  constructor(id: string, value: string, holds: FakeHolds) {
    this.id = id;
    this.value = value;
    this.#holds = holds;
    holds.count += 1;
  }

  clone(): FakeResult {
    if (this.#disposed) throw new Error(`The result "${this.id}" was used after it was disposed`);
    return new FakeResult(this.id, this.value, this.#holds);
  }

  [Symbol.asyncDispose](): Promise<void> {
    if (this.#disposed) this.#holds.freedTwice += 1;
    else this.#holds.count -= 1;
    this.#disposed = true;
    return Promise.resolve();
  }
}

/** Makes results, keeps those that were saved, and loses them when a test asks for it. */
export class FakeResults implements ResultLoader {
  readonly holds: FakeHolds = { count: 0, freedTwice: 0 };
  readonly #saved = new Map<string, string>();
  readonly #loaded = new WeakSet<Result>();
  #next = 0;
  loads = 0;

  /** Whether it came from a record. */
  isLoaded(result: Result): boolean {
    return this.#loaded.has(result);
  }

  create(value: string): FakeResult {
    return new FakeResult(`r${this.#next++}`, value, this.holds);
  }

  save(result: Result): Promise<string> {
    this.#saved.set(result.id, String(result.value));
    return Promise.resolve(result.id);
  }

  load(id: string): Promise<Result> {
    const value = this.#saved.get(id);
    if (value === undefined)
      return Promise.reject(new BuildError("not_found", `Cannot load result "${id}": not found`));
    this.loads += 1;
    const result = new FakeResult(id, value, this.holds);
    this.#loaded.add(result);
    return Promise.resolve(result);
  }

  exists(id: string): Promise<boolean> {
    return Promise.resolve(this.#saved.has(id) || this.hidden.has(id));
  }

  release(id: string): Promise<void> {
    this.#saved.delete(id);
    return Promise.resolve();
  }

  /** Ids that seem to be there and cannot be loaded. */
  readonly hidden: Set<string> = new Set();

  /** Loses all values; the records stay until somebody tries to load them. */
  loseAll(): void {
    for (const id of this.#saved.keys()) this.hidden.add(id);
    this.#saved.clear();
  }
}
