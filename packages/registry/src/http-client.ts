import { type Clock, systemClock } from "@buildkit-ts/async";
import { BuildError } from "@buildkit-ts/errdefs";
import { connectionFailure } from "@buildkit-ts/proxies";
import { Connections } from "./connections.ts";
import { type HttpAnswer, type HttpMethod, HttpSender } from "./http-sender.ts";
import { redactUrl } from "./registry-error.ts";
import { backoffMs, isConnectionFailure, isPassing, maxAttempts, retryAfterMs } from "./retry-policy.ts";

/** A plain request, which gets no credentials but those among its headers. */
export interface PlainRequest {
  readonly method: HttpMethod;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * Requests to servers that are no registries: with the proxies of the environment, redirects followed, credentials kept
 * from whoever they lead to, and failures that may pass tried again.
 */
export class HttpClient implements AsyncDisposable {
  readonly #connections = new Connections();
  readonly #sender: HttpSender;
  readonly #clock: Clock;

  constructor(options: { readonly userAgent: string; readonly clock?: Clock }) {
    this.#sender = new HttpSender({ connections: this.#connections, userAgent: options.userAgent });
    this.#clock = options.clock ?? systemClock;
  }

  /**
   * The answer, whatever its status is in the end. Its body must be read or dropped.
   *
   * @throws {BuildError} `unavailable`, when there is none.
   */
  async send(request: PlainRequest, options: { readonly signal: AbortSignal }): Promise<HttpAnswer> {
    for (let attempt = 1; ; attempt += 1) {
      let delayMs = backoffMs(attempt);
      try {
        const answer = await this.#sender.send(request, options);
        if (attempt === maxAttempts || !isPassing(answer.statusCode)) return answer;
        delayMs = retryAfterMs(answer, this.#clock.now()) ?? delayMs;
        answer.drop();
      } catch (error) {
        options.signal.throwIfAborted();
        if (error instanceof BuildError) throw error;
        if (attempt === maxAttempts || !isConnectionFailure(error)) {
          const text = connectionFailure(error, new URL(request.url).host);
          const verb = request.method.slice(0, 1) + request.method.slice(1).toLowerCase();
          const message = `${verb} "${redactUrl(request.url)}": ${text}`;
          throw new BuildError("unavailable", message, { cause: error });
        }
      }
      await this.pause(delayMs, options);
    }
  }

  /** Waits, such as before a broken download is taken up again. */
  async pause(delayMs: number, options: { readonly signal: AbortSignal }): Promise<void> {
    await this.#clock.sleep(delayMs, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connections[Symbol.asyncDispose]();
  }
}
