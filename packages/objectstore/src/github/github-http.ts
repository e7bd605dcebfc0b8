import type { Readable } from "node:stream";
import { type Clock, systemClock } from "@buildkit-ts/async";
import { BuildError } from "@buildkit-ts/errdefs";
import { dispatcherFor, proxyFor } from "@buildkit-ts/proxies";
import { type Dispatcher, request } from "undici";
import type { StoreOptions } from "../object-store.ts";
import { readSmall } from "../read-blob-stream.ts";
import { storeError } from "../store-error.ts";
import { answerError } from "./answer-error.ts";

/** One request to the cache service, or to whatever it refers to. */
export interface GithubRequest {
  /** For error texts, such as `reserve cache entry "…"`. */
  readonly action: string;
  readonly method: "GET" | "POST" | "PATCH";
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Called anew for each attempt. */
  readonly body?: () => string | Readable;
}

/** How {@linkcode GithubHttp} sends. */
export interface GithubHttpOptions {
  /** Never in any text. */
  readonly secrets: readonly string[];
  /** How long a service that is busy is asked again. */
  readonly timeoutMs: number;
  readonly clock?: Clock;
}

const firstDelayMs = 1000;
const maxDelayMs = 90_000;

/** Sends requests, waits while the service says that there are too many, and makes errors of bad answers. */
export class GithubHttp {
  readonly #options: GithubHttpOptions;
  readonly #clock: Clock;
  // Of this store alone, by proxy: idle connections end after some seconds, and keep nothing alive.
  readonly #dispatchers = new Map<string, Dispatcher>();

  constructor(options: GithubHttpOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** The answer's JSON, an empty object for none. */
  async json(message: GithubRequest, options: StoreOptions): Promise<Readonly<Record<string, unknown>>> {
    const { body } = await this.send(message, options);
    try {
      const text = (await readSmall(body, message.action, options)).toString("utf8").replace(/^\uFEFF/, "");
      const value: unknown = text === "" ? {} : JSON.parse(text);
      return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
    } catch (error) {
      throw this.#error(error, message, options);
    }
  }

  /** An answer that is no error; its body must be read or destroyed. */
  async send(message: GithubRequest, options: StoreOptions): Promise<Dispatcher.ResponseData> {
    const deadline = this.#clock.now() + this.#options.timeoutMs;
    for (let delayMs = firstDelayMs; ; delayMs = Math.min(delayMs * 2, maxDelayMs)) {
      const answer = await this.#request(message, options);
      if (answer.statusCode >= 200 && answer.statusCode < 300) return answer;
      const error = await answerError(answer, `Cannot ${message.action}`).catch((cause: unknown) =>
        this.#error(cause, message, options),
      );
      if (answer.statusCode !== 429) throw this.#error(error, message, options);
      const waitMs = retryAfterMs(answer, this.#clock.now()) ?? delayMs;
      if (this.#clock.now() + waitMs > deadline) throw this.#error(error, message, options);
      await this.#clock.sleep(waitMs, options);
    }
  }

  async #request(message: GithubRequest, options: StoreOptions): Promise<Dispatcher.ResponseData> {
    const { method, url, headers = {}, body } = message;
    options.signal.throwIfAborted();
    try {
      return await request(url, {
        method,
        headers: { "user-agent": "buildkit-ts", ...headers },
        dispatcher: this.#dispatcherFor(url),
        signal: options.signal,
        ...(body !== undefined && { body: body() }),
      });
    } catch (error) {
      throw this.#error(error, message, options);
    }
  }

  #dispatcherFor(url: string): Dispatcher {
    const proxy = proxyFor(new URL(url), process.env);
    const key = proxy?.href ?? "";
    const timeouts = { connect: { timeout: 30_000 }, headersTimeout: 300_000, bodyTimeout: 0 };
    const dispatcher = this.#dispatchers.get(key) ?? dispatcherFor(proxy, timeouts);
    this.#dispatchers.set(key, dispatcher);
    return dispatcher;
  }

  #error(error: unknown, { action }: GithubRequest, options: StoreOptions): Error {
    if (error instanceof BuildError && !this.#options.secrets.some((secret) => error.message.includes(secret)))
      return error;
    return storeError(error, action, { ...options, secrets: this.#options.secrets });
  }
}

function retryAfterMs({ headers }: Dispatcher.ResponseData, now: number): number | undefined {
  const text = headers["retry-after"];
  if (typeof text !== "string" || text === "") return undefined;
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now;
  return Number.isNaN(ms) ? undefined : Math.max(ms, 0);
}
