import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { createSecureContext, TLSSocket } from "node:tls";
import type { ServerIdentity } from "./certificate-authority.ts";
import { Egress } from "./egress.ts";
import { ProxyRecords } from "./proxy-records.ts";
import type { ProxyReport } from "./proxy-report.ts";
import { refuse } from "./refuse.ts";
import { relay } from "./relay.ts";
import { hostOf, shownUrl, targetUrl, tunnelOrigin } from "./target-url.ts";

/** What a {@linkcode ProxyServer} asks others. */
export interface ProxyHooks {
  /**
   * Whether a request may be made: the URL to fetch in its place, undefined for its own. Throws for one that is denied.
   *
   * @param request Its URL holds no credentials.
   */
  check(request: { readonly method: string; readonly url: string }): Promise<string | undefined>;
  /** What the proxy shows to clients that want to talk to a host by TLS. */
  identify(host: string): Promise<ServerIdentity>;
}

/** A step talks to its proxy alone: these keep it from filling the memory of the daemon. */
const limits = {
  maxHeaderSize: 64 << 10,
  headersTimeout: 30_000,
  requestTimeout: 0,
  keepAliveTimeout: 600_000,
} as const;
const maxConnections = 512;
const handshakeMs = 30_000;

/**
 * An HTTP proxy that sees everything: what goes through tunnels is decrypted, checked and recorded like all else, and what is no
 * HTTP does not get through.
 */
export class ProxyServer {
  readonly #hooks: ProxyHooks;
  readonly #records = new ProxyRecords();
  readonly #egress = new Egress();
  readonly #plain: Server;
  readonly #tunnelled: Server;
  /** What the clients of tunnels want to talk to. */
  readonly #origins = new WeakMap<Duplex, string>();
  readonly #connections = new Set<Socket>();
  readonly #handling = new Set<Promise<void>>();

  constructor(hooks: ProxyHooks) {
    this.#hooks = hooks;
    this.#plain = createServer(limits, (request, response) => this.#track(this.#handle(request, response)));
    this.#tunnelled = createServer(limits, (request, response) => {
      this.#track(this.#handle(request, response, this.#origins.get(request.socket)));
    });
    this.#plain.maxConnections = maxConnections;
    this.#plain.on("connection", (socket: Socket) => {
      this.#connections.add(socket);
      socket.once("close", () => this.#connections.delete(socket));
    });
    this.#plain.on("connect", (request, socket, head) => this.#track(this.#openTunnel(request, socket, head)));
    for (const server of [this.#plain, this.#tunnelled]) {
      server.on("clientError", refuseConnection);
      // Clients may say that they send no more before they are answered, as busybox does. Node knows, its types do not.
      Object.assign(server, { httpAllowHalfOpen: true });
    }
  }

  /** @returns The port, one that is free. */
  async listen(host: string): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#plain.once("error", reject);
      this.#plain.listen({ host, port: 0 }, resolve);
    });
    return (this.#plain.address() as AddressInfo).port;
  }

  #track(work: Promise<void>): void {
    const settled = work
      .catch(() => undefined)
      .finally(() => {
        this.#handling.delete(settled);
      });
    this.#handling.add(settled);
  }

  async #handle(request: IncomingMessage, response: ServerResponse, origin?: string): Promise<void> {
    // Both are told of broken connections by events that nobody has to wait for.
    request.on("error", () => undefined);
    response.on("error", () => undefined);
    const url = targetUrl(request, origin);
    if (url === undefined) {
      refuse(response, 400, "Bad Request");
      return;
    }
    const { method = "GET" } = request;
    const shown = shownUrl(url);
    let target: string | undefined;
    try {
      target = await this.#hooks.check({ method, url: shown });
    } catch {
      this.#records.addRequest({ method, url: shown, status: 403 });
      refuse(response, 403, "Forbidden");
      return;
    }
    const exchange = { request, response, url: target === undefined ? url : new URL(target) };
    await relay(exchange, { egress: this.#egress, records: this.#records });
  }

  async #openTunnel(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on("error", () => socket.destroy());
    const origin = tunnelOrigin(request.url ?? "");
    if (origin === undefined) {
      socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
      return;
    }
    const identity = await this.#hooks.identify(hostOf(origin)).catch((error: unknown) => {
      socket.destroy();
      throw error;
    });
    if (socket.destroyed) return;
    socket.write("HTTP/1.1 200 Connection Established\r\n\r\n");
    if (head.length > 0) socket.unshift(head);
    const secure = new TLSSocket(socket as Socket, {
      isServer: true,
      secureContext: createSecureContext({ cert: identity.certificate, key: identity.key }),
      // What the proxy understands: a client that wants something else shall hear so.
      ALPNProtocols: ["http/1.1"],
    });
    this.#origins.set(secure, origin.origin);
    const timer = setTimeout(() => secure.destroy(), handshakeMs);
    secure.once("close", () => clearTimeout(timer));
    secure.on("error", () => secure.destroy());
    secure.once("secure", () => {
      clearTimeout(timer);
      this.#tunnelled.emit("connection", secure);
    });
  }

  /** For a step whose processes are gone: nobody is there any more for what has not been answered. */
  async stop(): Promise<ProxyReport> {
    this.#plain.close();
    // What a client has got to its end was read to its end here, which streams tell a little later.
    for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    for (const socket of this.#connections) socket.destroy();
    while (this.#handling.size > 0) await Promise.all(this.#handling);
    this.#egress[Symbol.dispose]();
    return this.#records.report();
  }
}

function refuseConnection(_error: Error, socket: Duplex): void {
  if (socket.writable) socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
  else socket.destroy();
}
