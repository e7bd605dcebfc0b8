import { BuildError } from "@buildkit-ts/errdefs";
import type { CacheStore } from "../types.ts";
import type { Turns } from "./turns.ts";

/** The store, with a turn taken before each answer, and failures as often as it is told. */
export function turningCacheStore(store: CacheStore, turns: Turns, failureRate: number): CacheStore {
  const turning = async <T>(question: () => Promise<T>): Promise<T> => {
    await turns.take();
    if (turns.random() < failureRate) throw new BuildError("unavailable", "the store does not answer");
    return await question();
  };
  return {
    id: store.id,
    query: async (deps, target) => await turning(async () => await store.query(deps, target)),
    records: async (key) => await turning(async () => await store.records(key)),
    load: async (record, context) => await turning(async () => await store.load(record, context)),
    forget: async (record) => await turning(async () => await store.forget(record)),
    save: async (key, result, createdAt) => await turning(async () => await store.save(key, result, createdAt)),
  };
}
