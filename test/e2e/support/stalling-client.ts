import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";

/**
 * Stands between a client and a daemon's socket. Once so many bytes have gone to the daemon on one connection, nothing more
 * goes there before {@linkcode StallingClient.release} is called: what the client has not sent by then, it sends afterwards.
 */
export class StallingClient implements Disposable {
  /** Settles when a connection is held. */
  readonly isHeld: Promise<void>;
  readonly #held = Promise.withResolvers<void>();
  readonly #released = Promise.withResolvers<void>();
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
    this.isHeld = this.#held.promise;
  }

  static async start(
    path: string,
    options: { readonly daemon: string; readonly afterBytes: number },
  ): Promise<StallingClient> {
    const server = createServer();
    const stalling = new StallingClient(server);
    server.on("connection", (client) => stalling.#join(client, options));
    server.listen(path);
    await once(server, "listening");
    return stalling;
  }

  release(): void {
    this.#released.resolve();
  }

  [Symbol.dispose](): void {
    this.release();
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #join(client: Socket, { daemon, afterBytes }: { readonly daemon: string; readonly afterBytes: number }): void {
    const server = connect(daemon);
    const both = [client, server];
    for (const socket of both) {
      this.#sockets.add(socket);
      socket.on("error", () => both.forEach((one) => one.destroy()));
      socket.on("close", () => both.forEach((one) => one.destroy()));
    }
    server.pipe(client);
    let passed = 0;
    client.on("data", (chunk: Buffer) => {
      const before = passed;
      passed += chunk.length;
      if (!server.write(chunk)) this.#pauseUntil(client, once(server, "drain"));
      if (before > afterBytes || passed <= afterBytes) return;
      this.#held.resolve();
      this.#pauseUntil(client, this.#released.promise);
    });
  }

  #waits = 0;

  #pauseUntil(client: Socket, event: Promise<unknown>): void {
    this.#waits += 1;
    client.pause();
    const resume = (): void => {
      this.#waits -= 1;
      if (this.#waits === 0) client.resume();
    };
    event.then(resume, resume);
  }
}
