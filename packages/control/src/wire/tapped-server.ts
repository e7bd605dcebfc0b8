import type { Http2SecureServer, Http2Server, Http2Session, ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { type DataTaker, DataTap, type DataTapOptions, type DivertedData } from "@buildkit-ts/session";
import { whenSpoken } from "./first-bytes.ts";

const taps = new WeakMap<Http2Session, DataTap>();

/** What {@linkcode tapConnections} has to know. */
export interface TapConnectionsOptions extends Pick<DataTapOptions, "settings" | "connectionWindowBytes"> {
  /** Takes connections on which HTTP/1 is spoken; without it they are told that it is not. */
  readonly onHttp1?: (socket: Socket) => void;
}

/**
 * Puts a {@linkcode DataTap} below each session of a server that does not listen yet: what its clients send in bulk is
 * read beside HTTP/2, whose sessions see a connection that is not of the system and has no protocol negotiated. All that
 * comes is HTTP/2 then: docker-buildx negotiates nothing, which Node would take for HTTP/1.1.
 */
export function tapConnections<S extends Http2Server | Http2SecureServer>(
  server: S,
  event: "connection" | "secureConnection",
  { onHttp1, ...options }: TapConnectionsOptions,
): S {
  const accept = server.listeners(event) as ((this: S, connection: DataTap) => void)[];
  server.removeAllListeners(event);
  let accepted: DataTap | undefined;
  const acceptHttp2 = (socket: Socket): void => {
    accepted = new DataTap(socket, { ...options, role: "server", isSocket: true });
    for (const each of accept) each.call(server, accepted);
    accepted = undefined;
  };
  server.on(event, (socket: Socket) => {
    if (onHttp1 === undefined) acceptHttp2(socket);
    else whenSpoken(socket, (spoken) => (spoken === "http1" ? onHttp1(socket) : acceptHttp2(socket)));
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
