import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** How a {@linkcode SocksServer} works. */
export interface SocksServerOptions {
  /** Names that no DNS knows: each is a port of this machine. */
  readonly ports: ReadonlyMap<string, number>;
  /** Whom it lets in; everybody unless given. */
  readonly user?: { readonly name: string; readonly password: string };
}

/** A SOCKS 5 proxy (RFC 1928, RFC 1929) that connects to names only. */
export class SocksServer implements AsyncDisposable {
  readonly #server: Server;
  readonly #options: SocksServerOptions;
  readonly #sockets = new Set<Socket>();
  /** The names that were asked for. */
  readonly requests: string[] = [];

  private constructor(options: SocksServerOptions) {
    this.#options = options;
    this.#server = createServer((socket) => void this.#serve(socket));
  }

  static async start(options: SocksServerOptions): Promise<SocksServer> {
    const server = new SocksServer(options);
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    return server;
  }

  /** `127.0.0.1:port`. */
  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async #serve(socket: Socket): Promise<void> {
    this.#sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#sockets.delete(socket));
    try {
      const read = reader(socket);
      const [, methods = 0] = await read(2);
      const offered = await read(methods);
      const method = this.#options.user === undefined ? 0 : 2;
      socket.write(Buffer.from([5, offered.includes(method) ? method : 0xff]));
      if (!offered.includes(method) || (method === 2 && !(await this.#admit(socket, read)))) return void socket.end();
      await this.#connect(socket, read);
    } catch {
      socket.destroy();
    }
  }

  async #admit(socket: Socket, read: Read): Promise<boolean> {
    const [, nameBytes = 0] = await read(2);
    const name = (await read(nameBytes)).toString();
    const [passwordBytes = 0] = await read(1);
    const password = (await read(passwordBytes)).toString();
    const isKnown = name === this.#options.user?.name && password === this.#options.user.password;
    socket.write(Buffer.from([1, isKnown ? 0 : 1]));
    return isKnown;
  }

  async #connect(socket: Socket, read: Read): Promise<void> {
    const [, command, , type, nameBytes = 0] = await read(5);
    // "Address type not supported".
    if (type !== 3) return void socket.end(Buffer.from([5, 8, 0, 1, 0, 0, 0, 0, 0, 0]));
    const name = (await read(nameBytes)).toString();
    await read(2);
    this.requests.push(name);
    const port = command === 1 ? this.#options.ports.get(name) : undefined;
    // Bound to 0.0.0.0:0; "host unreachable" for names that it does not know.
    const answer = (code: number): boolean => socket.write(Buffer.from([5, code, 0, 1, 0, 0, 0, 0, 0, 0]));
    if (port === undefined) {
      answer(4);
      socket.end();
      return;
    }
    const target = connect(port, "localhost", () => {
      answer(0);
      target.pipe(socket).pipe(target);
    });
    this.#sockets.add(target);
    target.on("error", () => socket.destroy());
    socket.on("close", () => target.destroy());
  }
}

type Read = (length: number) => Promise<Buffer>;

/** Reads exactly so many bytes, and leaves the rest in the socket. */
function reader(socket: Socket): Read {
  return async (length) => {
    if (length === 0) return Buffer.alloc(0);
    for (;;) {
      const bytes = socket.read(length) as Buffer | null;
      if (bytes?.length === length) return bytes;
      if (bytes !== null || socket.readableEnded || socket.destroyed) throw new Error("the client went");
      await new Promise<void>((resolve) => {
        const events = ["readable", "end", "close"] as const;
        const done = (): void => {
          for (const event of events) socket.off(event, done);
          resolve();
        };
        for (const event of events) socket.once(event, done);
      });
    }
  };
}
