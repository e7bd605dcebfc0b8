import type { Http2SecureServer, Http2Server, Http2Session, ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { type DataTaker, DataTap, type DataTapOptions, type DivertedData } from "@buildkit-ts/session";

const taps = new WeakMap<Http2Session, DataTap>();

/**
 * Puts a {@linkcode DataTap} below each session of a server that does not listen yet: what its clients send in bulk is
 * read beside HTTP/2, whose sessions see a connection that is not of the system and has no protocol negotiated. All that
 * comes is HTTP/2 then: docker-buildx negotiates nothing, which Node would take for HTTP/1.1.
 */
export function tapConnections<S extends Http2Server | Http2SecureServer>(
  server: S,
  event: "connection" | "secureConnection",
  options: Pick<DataTapOptions, "settings" | "connectionWindowBytes">,
): S {
  const accept = server.listeners(event) as ((this: S, connection: DataTap) => void)[];
  server.removeAllListeners(event);
  let accepted: DataTap | undefined;
  server.on(event, (socket: Socket) => {
    accepted = new DataTap(socket, { ...options, role: "server", isSocket: true });
    for (const each of accept) each.call(server, accepted);
    accepted = undefined;
  });
  // Told while the connection is accepted.
  server.on("session", (session: ServerHttp2Session) => {
    if (accepted !== undefined) taps.set(session, accepted);
  });
  return server;
}

/** How the data of a stream are had directly; undefined, for sessions without a tap. */
export function divertFrom(stream: ServerHttp2Stream): ((onData: DataTaker) => DivertedData | undefined) | undefined {
  const tap = stream.session === undefined ? undefined : taps.get(stream.session);
  const { id } = stream;
  return tap === undefined || id === undefined ? undefined : (onData) => tap.divert(id, onData);
}
