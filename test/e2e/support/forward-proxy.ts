import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";

/** An HTTP proxy that knows names which no DNS knows: each is a port of this machine. */
export class ForwardProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #ports: ReadonlyMap<string, number>;
  readonly #sockets = new Set<Socket>();
  /** `METHOD host` of what was asked of it. */
  readonly requests: string[] = [];

  private constructor(ports: ReadonlyMap<string, number>) {
    this.#ports = ports;
    this.#server = createServer((request, response) => this.#forward(request, response));
    this.#server.on("connect", (request: IncomingMessage, socket: Socket) => this.#tunnel(request, socket));
    this.#server.on("connection", (socket: Socket) => this.#sockets.add(socket));
  }

  static async start(ports: ReadonlyMap<string, number>): Promise<ForwardProxy> {
    const proxy = new ForwardProxy(ports);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  #forward(request: IncomingMessage, response: ServerResponse): void {
    const url = URL.parse(request.url ?? "");
    const port = this.#ports.get(url?.hostname ?? "");
    this.requests.push(`${request.method} ${url?.hostname}`);
    if (url === null || port === undefined) {
      response.writeHead(502).end();
      return;
    }
    const { method, headers } = request;
    const outgoing = httpRequest({ port, method, headers, path: `${url.pathname}${url.search}` }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    outgoing.on("error", () => response.destroy());
    request.pipe(outgoing);
  }

  #tunnel(request: IncomingMessage, socket: Socket): void {
    const [name = ""] = (request.url ?? "").split(":");
    this.requests.push(`CONNECT ${name}`);
    const port = this.#ports.get(name);
    if (port === undefined) {
      socket.end("HTTP/1.1 502 Bad Gateway\r\n\r\n");
      return;
    }
    const target = connect(port, "localhost", () => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      target.pipe(socket).pipe(target);
    });
    target.on("error", () => socket.destroy());
    socket.on("error", () => target.destroy());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
