import { STATUS_CODES } from "node:http";
import type { Readable } from "node:stream";
import { BuildError } from "@buildkit-ts/errdefs";
import { type Dispatcher, request as undiciRequest } from "undici";
import type { Connections } from "./connections.ts";
import type { RegistryHostConfig } from "./registry-config.ts";
import { redactUrl } from "./registry-error.ts";

export type HttpMethod = "GET" | "HEAD" | "PATCH" | "POST" | "PUT";

export interface HttpRequest {
  readonly method: HttpMethod;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Called anew for each attempt and redirect. */
  readonly body?: () => string | Uint8Array | Readable;
  readonly tls?: RegistryHostConfig;
}

const maxRedirects = 10;
const secretHeaders = ["authorization", "cookie"];

/** An answer whose body must be read or dropped. */
export class HttpAnswer {
  readonly method: HttpMethod;
  /** The URL that answered, after redirects. */
  readonly url: string;
  readonly statusCode: number;
  readonly statusText: string;
  readonly #headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly #body: Dispatcher.ResponseData["body"];

  constructor(request: { readonly method: HttpMethod; readonly url: string }, data: Dispatcher.ResponseData) {
    this.method = request.method;
    this.url = request.url;
    this.statusCode = data.statusCode;
    this.statusText = STATUS_CODES[data.statusCode] ?? "";
    this.#headers = data.headers;
    this.#body = data.body;
  }

  header(name: string): string | undefined {
    const value = this.#headers[name];
    return typeof value === "object" ? value[0] : value;
  }

  headers(name: string): string | readonly string[] | undefined {
    return this.#headers[name];
  }

  /** Undefined where the header is absent or no number. */
  get contentLength(): number | undefined {
    const text = this.header("content-length");
    return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
  }

  get body(): Readable {
    return this.#body;
  }

  /** The whole body. @throws {BuildError} `resource_exhausted`, if it is longer than allowed. */
  async bytes(maxBytes: number): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let total = 0;
    for await (const chunk of this.#body) {
      chunks.push(chunk as Buffer);
      total += (chunk as Buffer).length;
      if (total > maxBytes) {
        this.drop();
        throw new BuildError(
          "resource_exhausted",
          `Cannot read answer of "${redactUrl(this.url)}": more than ${maxBytes} bytes`,
        );
      }
    }
    return Buffer.concat(chunks);
  }

  /** The beginning of the body, for error texts; whatever goes wrong is no further error. */
  async excerpt(maxBytes: number): Promise<Buffer> {
    try {
      return await this.bytes(maxBytes);
    } catch (error) {
      this.drop();
      return Buffer.from(error instanceof Error ? "" : String(error));
    }
  }

  drop(): void {
    this.#body.on("error", () => undefined);
    this.#body.destroy();
  }

  /** Lets the connection be used again, where little is left to read. */
  async discard(): Promise<void> {
    await this.#body.dump({ limit: 64 << 10 });
  }
}

/**
 * One HTTP exchange: redirects are followed (10 at most), and whoever they lead to gets no credentials unless it is the
 * same host. No retries here.
 */
export class HttpSender {
  readonly #connections: Connections;
  readonly #userAgent: string;

  constructor(options: { readonly connections: Connections; readonly userAgent: string }) {
    this.#connections = options.connections;
    this.#userAgent = options.userAgent;
  }

  async send(request: HttpRequest, options: { readonly signal: AbortSignal }): Promise<HttpAnswer> {
    let current = request;
    for (let redirects = 0; ; redirects += 1) {
      const answer = await this.#once(current, options.signal);
      const next = redirectOf(current, answer);
      if (next === undefined) return answer;
      await answer.discard();
      if (redirects === maxRedirects) throw new BuildError("unavailable", `stopped after ${maxRedirects} redirects`);
      current = next;
    }
  }

  async #once(request: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> {
    signal.throwIfAborted();
    const data = await undiciRequest(request.url, {
      dispatcher: await this.#connections.dispatcher(request.url, request.tls),
      method: request.method,
      headers: { "user-agent": this.#userAgent, "accept-encoding": "identity", ...request.headers },
      signal,
      ...(request.body !== undefined && { body: request.body() }),
    });
    return new HttpAnswer(request, data);
  }
}

function redirectOf(request: HttpRequest, answer: HttpAnswer): HttpRequest | undefined {
  const location = answer.header("location");
  const keepsMethod = answer.statusCode === 307 || answer.statusCode === 308;
  const isRead = request.method === "GET" || request.method === "HEAD";
  if (location === undefined || !(keepsMethod || (isRead && [301, 302, 303].includes(answer.statusCode))))
    return undefined;
  const [from, to] = [new URL(request.url), URL.parse(location, request.url)];
  if (to === null || !/^https?:$/.test(to.protocol)) {
    throw new BuildError("unavailable", `Cannot follow redirect of "${redactUrl(request.url)}": invalid location`);
  }
  if (to.origin === from.origin) return { ...request, url: to.href };
  const headers = Object.fromEntries(Object.entries(request.headers).filter(([name]) => !secretHeaders.includes(name)));
  return { ...request, url: to.href, headers };
}
