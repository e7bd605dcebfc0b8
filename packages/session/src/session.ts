import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import type { Duplex } from "node:stream";
import type { Transport } from "@connectrpc/connect";
import type { DivertedData } from "./wire/data-tap.ts";

/**
 * The daemon's side of one client's session: an HTTP/2 connection on which the client serves its attachables.
 *
 * It ends when the client goes, when its health checks fail twice, or when the daemon stops; `closed` is aborted then,
 * and every call on it fails with `unavailable`.
 */
export interface SessionCaller {
  readonly id: string;
  readonly name: string;
  readonly sharedKey: string;
  readonly closed: AbortSignal;
  /** Whether the client serves `/<service>/<Method>`; upper and lower case are equal. */
  supports(method: string): boolean;
  /** For unary calls and small streams. */
  readonly transport: Transport;
  /** A raw gRPC stream (no framing added) for bulk transfers; metadata values may repeat. */
  openStream(method: string, metadata: Readonly<Record<string, string | readonly string[]>>): ClientHttp2Stream;
  /**
   * Gives the data of a stream that was just opened to `onData` as they come, without a stream's costs per message.
   * Undefined, if that is not possible; then they come on the stream.
   */
  divert(stream: ClientHttp2Stream, onData: (data: Buffer) => void): DivertedData | undefined;
  readonly http2: ClientHttp2Session;
}

/** All live sessions of a daemon. */
export interface SessionManager {
  /**
   * Serves one session on a byte stream until it ends. Repeated metadata come as arrays.
   *
   * @param options.onAccept Called before the first byte is written, unless it is refused.
   * @throws {BuildError} `already_exists`, for an id in use; `invalid_argument`, without id.
   */
  handle(
    connection: Duplex,
    metadata: Readonly<Record<string, string | readonly string[]>>,
    options: { readonly signal: AbortSignal; readonly onAccept?: () => void },
  ): Promise<void>;
  /**
   * Waits up to `timeoutMs` (default 5,000) for a session; an id `prefix:id` counts as `id`.
   *
   * @throws {BuildError} `not_found`, `no active session for …: context deadline exceeded`.
   */
  get(id: string, options: { readonly signal: AbortSignal; readonly timeoutMs?: number }): Promise<SessionCaller>;
}
