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
    reporter.report(error, `use of the cache "${store.id}"`);
    return undefined;
  }
}
