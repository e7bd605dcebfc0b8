import { BuildError } from "@buildkit-ts/errdefs";
import type { SessionCaller, SessionManager } from "@buildkit-ts/session";

/**
 * Tries the work with one session after the other until it succeeds.
 *
 * @throws the last failure; {BuildError} `not_found`, `no active sessions`, when there is none to try.
 */
export async function withAnySession<T>(
  manager: SessionManager,
  ids: readonly string[],
  options: { readonly signal: AbortSignal; readonly work: (caller: SessionCaller) => Promise<T> },
): Promise<T> {
  let failure: unknown = new BuildError("not_found", "no active sessions");
  for (const id of ids) {
    try {
      return await options.work(await manager.get(id, { signal: options.signal }));
    } catch (error) {
      options.signal.throwIfAborted();
      failure = error;
    }
  }
  throw failure;
}
