import type { ErrorReporter } from "@buildkit-ts/async";
import type { CacheStore } from "./types.ts";

/** The store's answer. One that fails is as good as one that has nothing: a cache never fails a build. */
export async function askStore<T>(
  store: CacheStore,
  reporter: ErrorReporter,
  question: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await question();
  } catch (error) {
    reporter.report(error, useOf(store));
    return undefined;
  }
}

/** {@linkcode askStore} of one that answers at once. */
export function askStoreNow<T>(store: CacheStore, reporter: ErrorReporter, question: () => T): T | undefined {
  try {
    return question();
  } catch (error) {
    reporter.report(error, useOf(store));
    return undefined;
  }
}

function useOf(store: CacheStore): string {
  return `use of the cache "${store.id}"`;
}
