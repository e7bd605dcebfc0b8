import type { Http2SecureServer, Http2Server, ServerHttp2Session } from "node:http2";

/**
 * Calls back when no client has been connected for a while, for daemons that were started on demand.
 * Disposal stops the count.
 */
export class IdleTimer implements Disposable {
  readonly #timeoutMs: number;
  readonly #onIdle: () => void;
  #clients = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(timeoutMs: number, onIdle: () => void) {
    this.#timeoutMs = timeoutMs;
    this.#onIdle = onIdle;
    this.#arm();
  }

  watch(server: Http2Server | Http2SecureServer): void {
    server.on("session", (session: ServerHttp2Session) => {
      this.#clients += 1;
      clearTimeout(this.#timer);
      session.once("close", () => {
        this.#clients -= 1;
        if (this.#clients === 0) this.#arm();
      });
    });
  }

  #arm(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#onIdle, this.#timeoutMs);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
