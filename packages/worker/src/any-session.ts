import { BuildError } from "@buildkit-ts/errdefs";
import type { SessionCaller, SessionManager } from "@buildkit-ts/session";

/** How steps reach the clients that wait for them. */
export interface SessionAccess {
  readonly sessions: Pick<SessionManager, "get">;
  /** Asked anew for each use: builds come and go while a step works. */
  readonly ids: readonly string[];
  readonly signal: AbortSignal;
}

/**
 * Asks one client after the other until one can help.
 *
 * @throws what the last one answered; {BuildError} `not_found`, `no active sessions`, if there is none.
 */
export async function withAnySession<T>(
  access: SessionAccess,
  work: (caller: SessionCaller) => Promise<T>,
): Promise<T> {
  let last: unknown = new BuildError("not_found", "no active sessions");
  for (const id of access.ids) {
    try {
      return await work(await access.sessions.get(id, { signal: access.signal }));
    } catch (error) {
      access.signal.throwIfAborted();
      last = error;
    }
  }
  throw last;
}
