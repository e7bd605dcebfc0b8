import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { ErrorReporter } from "@buildkit-ts/async";
import { BuildError } from "@buildkit-ts/errdefs";
import { metadataFromRawHeaders, type SessionManager } from "@buildkit-ts/session";

/** How long a client may take for its request, from its first byte on. */
const requestTimeoutMs = 10_000;
/** A session names each method that it serves in a header of its own. */
const maxHeaderBytes = 64 << 10;
const sessionPath = "/session";
const protocol = "h2c";
const accepted = `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`;

export interface UpgradedSessionsOptions {
  readonly sessions: SessionManager;
  readonly errors: ErrorReporter;
  /** Aborted when the daemon stops: all connections end. */
  readonly signal: AbortSignal;
  /** Default 10,000. */
  readonly requestTimeoutMs?: number;
}

/**
 * Sessions that are opened as clients of dockerd do it: by `POST /session` of HTTP/1.1, upgraded to `h2c`. The connection is
 * the session's from then on, and HTTP/2 is spoken on it the other way round. Any other request is told what listens here.
 */
export class UpgradedSessions {
  readonly #options: UpgradedSessionsOptions;
  readonly #server: Server;
  /** Of connections whose request has not come. */
  readonly #deadlines = new WeakMap<Duplex, NodeJS.Timeout>();

  constructor(options: UpgradedSessionsOptions) {
    this.#options = options;
    // It listens nowhere: it reads the requests of connections that it is given.
    this.#server = createServer({ maxHeaderSize: maxHeaderBytes }, refuse);
    this.#server.on("upgrade", (request: IncomingMessage, connection: Duplex, head: Buffer) => {
      if (head.length > 0) connection.unshift(head);
      this.#upgrade(request, connection).catch((error: unknown) => options.errors.report(error, "session"));
    });
  }

  /** Serves a connection on which HTTP/1 is spoken, until it ends. */
  accept(socket: Socket): void {
    const { signal } = this.#options;
    const end = (): void => void socket.destroy();
    if (signal.aborted) return end();
    signal.addEventListener("abort", end, { once: true });
    const deadline = setTimeout(end, this.#options.requestTimeoutMs ?? requestTimeoutMs);
    this.#deadlines.set(socket, deadline);
    socket.once("close", () => {
      clearTimeout(deadline);
      signal.removeEventListener("abort", end);
    });
    this.#server.emit("connection", socket);
    // It was stopped where its first bytes were looked at.
    socket.resume();
  }

  async #upgrade(request: IncomingMessage, connection: Duplex): Promise<void> {
    let isAccepted = false;
    const onAccept = (): void => {
      isAccepted = true;
      clearTimeout(this.#deadlines.get(connection));
      connection.write(accepted);
    };
    try {
      checkRequest(request);
      const metadata = metadataFromRawHeaders(request.rawHeaders);
      await this.#options.sessions.handle(connection, metadata, { signal: this.#options.signal, onAccept });
    } catch (error) {
      if (isAccepted) throw error;
      connection.end(refusal(BuildError.from(error).message));
    } finally {
      if (isAccepted) connection.destroy();
    }
  }
}

/** @throws {BuildError} `invalid_argument`, for what is not the beginning of a session. */
function checkRequest({ method, url, headers }: IncomingMessage): void {
  if (method !== "POST" || pathOf(url) !== sessionPath)
    throw new BuildError(
      "invalid_argument",
      `Cannot serve ${method} ${pathOf(url)}: only POST ${sessionPath} is upgraded`,
    );
  const { upgrade = "" } = headers;
  if (upgrade !== protocol) throw new BuildError("invalid_argument", `protocol ${upgrade.slice(0, 100)} not supported`);
}

/** Docker's clients put the version of their API before it. */
function pathOf(url = ""): string {
  return (url.split("?", 1)[0] ?? "").slice(0, 200).replace(/^\/v\d+\.\d+(?=\/)/, "");
}

function refuse(request: IncomingMessage, response: ServerResponse): void {
  const isSession = request.method === "POST" && pathOf(request.url) === sessionPath;
  const text = isSession ? "no upgrade proto in request" : "this is a BuildKit daemon: it serves gRPC, by HTTP/2";
  response.writeHead(isSession ? 400 : 404, { "content-type": "text/plain", connection: "close" });
  response.end(`${text}\n`);
}

function refusal(text: string): string {
  const body = `${text}\n`;
  const head = ["HTTP/1.1 400 Bad Request", "Content-Type: text/plain", `Content-Length: ${Buffer.byteLength(body)}`];
  return `${[...head, "Connection: close"].join("\r\n")}\r\n\r\n${body}`;
}
