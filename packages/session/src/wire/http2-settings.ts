import type { Http2Session } from "node:http2";

/** How much a peer may send on a connection before it is acknowledged; Node's own default is 64 KiB. */
export const connectionWindowBytes: number = 32 << 20;

/**
 * Options of HTTP/2 sessions that carry build contexts: bulk data, and metadata with hundreds of values.
 *
 * Node's defaults refuse more than 128 header pairs, send at most 64 KiB of them, and end a session whose buffers
 * pass 10 MB, which is less than the windows allow.
 */
export const bulkSessionOptions = {
  maxHeaderListPairs: 65_536,
  maxSendHeaderBlockLength: 8_388_608,
  maxSessionMemory: 256,
  settings: {
    enablePush: false,
    initialWindowSize: 16_777_216,
    maxFrameSize: 1_048_576,
    maxHeaderListSize: 8_388_608,
  },
} as const;

/** Widens the connection's window, which settings do not cover. */
export function widenWindow(session: Http2Session): void {
  // The peer may be gone before its connection was made.
  if (!session.destroyed) session.setLocalWindowSize(connectionWindowBytes);
}
