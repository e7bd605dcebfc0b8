import { BuildError } from "@buildkit-ts/errdefs";
import type { Loss } from "../loss.ts";
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

/** Says that somebody took away the content of a result. */
export class FakeLossError extends BuildError implements Loss {
  readonly #results: FakeResults;
  readonly #id: string;

  constructor(results: FakeResults, id: string) {
    super("not_found", `the content of "${id}" is gone`);
    this.#results = results;
    this.#id = id;
  }

  affects(result: Result): boolean {
    return this.#results.restsOn(result.id, this.#id);
  }
}

/** What a fake op, or its preparation, failed by. */
export function findFakeLoss(error: unknown): Loss | undefined {
  for (let at = error; at instanceof Error; at = at.cause) if (at instanceof FakeLossError) return at;
  return undefined;
}

/** Makes results, keeps those that were saved, and loses them when a test asks for it. */
export class FakeResults implements ResultLoader {
  readonly holds: FakeHolds = { count: 0, freedTwice: 0 };
  readonly #saved = new Map<string, string>();
  readonly #loaded = new WeakSet<Result>();
  /** By id: the results that one rests on. */
  readonly #origins = new Map<string, readonly string[]>();
  readonly #lost = new Set<string>();
  #next = 0;
  loads = 0;

  /** Whether it came from a record. */
  isLoaded(result: Result): boolean {
    return this.#loaded.has(result);
  }

  /** @param inputs What it rests on: where their content is gone, so is its own. */
  create(value: string, inputs: readonly Result[] = []): FakeResult {
    const id = `r${this.#next++}`;
    this.#origins.set(
      id,
      inputs.map((input) => input.id),
    );
    return new FakeResult(id, value, this.holds);
  }

  /** Takes the content away: nothing that rests on it can be used or loaded any more. */
  lose(id: string): void {
    this.#lost.add(id);
  }

  /** The result and all that it rests on. */
  foundationsOf(id: string): ReadonlySet<string> {
    const found = new Set([id]);
    for (const one of found) for (const origin of this.#origins.get(one) ?? []) found.add(origin);
    return found;
  }

  restsOn(id: string, origin: string): boolean {
    return this.foundationsOf(id).has(origin);
  }

  /** @throws {FakeLossError} if some of it was taken away. */
  checkPresent(id: string): void {
    for (const one of this.#lost.size === 0 ? [] : this.foundationsOf(id))
      if (this.#lost.has(one)) throw new FakeLossError(this, one);
  }

  save(result: Result): Promise<string> {
    this.#saved.set(result.id, String(result.value));
    return Promise.resolve(result.id);
  }

  load(id: string): Promise<Result> {
    const value = this.#saved.get(id);
    if (value === undefined)
      return Promise.reject(new BuildError("not_found", `Cannot load result "${id}": not found`));
    try {
      this.checkPresent(id);
    } catch (error) {
      return Promise.reject(error as Error);
    }
    this.loads += 1;
    const result = new FakeResult(id, value, this.holds);
    this.#loaded.add(result);
    return Promise.resolve(result);
  }

  exists(id: string): boolean {
    return this.#saved.has(id) || this.hidden.has(id);
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
