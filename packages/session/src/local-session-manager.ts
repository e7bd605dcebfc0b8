import type { Duplex } from "node:stream";
import { abortable, type Clock, systemClock } from "@buildkit-ts/async";
import { BuildError } from "@buildkit-ts/errdefs";
import type { SessionCaller, SessionManager } from "./session.ts";
import { SessionConnection } from "./session-connection.ts";
import { firstValue, type Metadata } from "./wire/metadata.ts";

/** How long a request for a session that is not there yet waits. */
const defaultWaitMs = 5000;

/** The live sessions of one daemon process. */
export class LocalSessionManager implements SessionManager, AsyncDisposable {
  readonly #sessions = new Map<string, SessionConnection>();
  readonly #waiters = new Map<string, Set<(session: SessionConnection) => void>>();
  readonly #clock: Clock;

  constructor(options: { readonly clock?: Clock } = {}) {
    this.#clock = options.clock ?? systemClock;
  }

  async handle(
    connection: Duplex,
    metadata: Metadata,
    options: { readonly signal: AbortSignal; readonly onAccept?: () => void },
  ): Promise<void> {
    const { signal } = options;
    signal.throwIfAborted();
    const id = firstValue(metadata, "x-docker-expose-session-uuid") ?? "";
    if (id === "") throw new BuildError("invalid_argument", "Cannot open session: it has no id");
    if (this.#sessions.has(id)) throw new BuildError("already_exists", `session ${id} already exists`);
    options.onAccept?.();
    const session = new SessionConnection(connection, metadata, this.#clock);
    const onAbort = (): void => session.close(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    this.#sessions.set(id, session);
    for (const wake of this.#waiters.get(id) ?? []) wake(session);
    try {
      await session.watchHealth();
    } finally {
      signal.removeEventListener("abort", onAbort);
      this.#sessions.delete(id);
      session.close();
    }
  }

  /** A session that is alive, without waiting for it. */
  find(id: string): SessionCaller | undefined {
    return this.#sessions.get(id);
  }

  async get(
    requestedId: string,
    options: { readonly signal: AbortSignal; readonly timeoutMs?: number },
  ): Promise<SessionCaller> {
    const id = requestedId.replace(/^[^:]*:(?=.)/s, "");
    options.signal.throwIfAborted();
    const session = this.#sessions.get(id);
    if (session !== undefined && !session.closed.aborted) return session;
    const deadline = AbortSignal.timeout(options.timeoutMs ?? defaultWaitMs);
    const { promise, resolve } = Promise.withResolvers<SessionConnection>();
    const waiters = this.#waiters.get(id) ?? new Set();
    this.#waiters.set(id, waiters.add(resolve));
    try {
      return await abortable(promise, AbortSignal.any([options.signal, deadline]));
    } catch (error) {
      if (options.signal.aborted || !deadline.aborted) throw error;
      throw new BuildError("not_found", `no active session for ${id}: context deadline exceeded`, { cause: error });
    } finally {
      waiters.delete(resolve);
      if (waiters.size === 0) this.#waiters.delete(id);
    }
  }

  /** Ends all sessions. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#sessions.values()) session.close();
  }
}
