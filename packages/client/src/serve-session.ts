import { type ClientHttp2Session, constants } from "node:http2";
import { GrpcByteStream, openStream } from "@buildkit-ts/session/rpc";
import type { ClientSession } from "@buildkit-ts/session/serving";

/** Serves a session on a connection to a daemon until it ends or the signal is aborted. Never fails: its users would. */
export async function serveSession(
  connection: ClientHttp2Session,
  session: ClientSession,
  options: { readonly signal: AbortSignal },
): Promise<void> {
  const stream = openStream(connection, "/moby.buildkit.v1.Control/Session", session.metadata);
  // A session that ends early makes the build fail, which then says more.
  stream.on("error", () => undefined);
  const bytes = new GrpcByteStream(stream);
  bytes.on("error", () => undefined);
  try {
    await session.serve(bytes, options);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
  }
  stream.close(constants.NGHTTP2_CANCEL);
}
