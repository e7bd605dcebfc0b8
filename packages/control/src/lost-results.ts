import { LostContentError } from "@buildkit-ts/errdefs";
import { type BridgeResult, refsOf } from "./bridge/bridge-ref.ts";

/** As often as something was built again, and no more: each time may lose what another cache promised. */
const maxAttempts = 3;

/**
 * Does work with a build's results. Where files or blobs of results turn out to be gone, what they were made by runs again,
 * and then the work does: that somebody cleaned up a remote cache must not fail a build.
 */
export async function withLostResultsRebuilt<T>(
  result: BridgeResult,
  work: () => Promise<T>,
  options: { readonly signal: AbortSignal },
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      options.signal.throwIfAborted();
      if (attempt >= maxAttempts || LostContentError.findIn(error) === undefined || !(await rebuild(result, options)))
        throw error;
    }
  }
}

/** Whether any result is another one now. */
async function rebuild(result: BridgeResult, options: { readonly signal: AbortSignal }): Promise<boolean> {
  const changes = refsOf(result).map(async (ref) => {
    const former = await ref.result(options);
    return (await ref.extracted(options))?.id !== former?.id;
  });
  return (await Promise.all(changes)).includes(true);
}
