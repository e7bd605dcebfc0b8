import {
  type ClientRequest,
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";

/** What goes wrong with one request. */
export type Fault =
  /** The answer comes, but late. */
  | { readonly kind: "late"; readonly ms: number }
  /** The connection breaks before there is an answer. */
  | { readonly kind: "reset" }
  /** The connection breaks in the middle of the answer. */
  | { readonly kind: "truncated" }
  | { readonly kind: "status"; readonly status: number; readonly headers?: Readonly<Record<string, string>> }
  /** The connection breaks when about half of the request's body has gone over. */
  | { readonly kind: "half sent" }
  /** One byte of the answer is another. */
  | { readonly kind: "wrong bytes" };

/** A request as plans see it. */
export interface ProxiedRequest {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  /** How many requests with the same method and path came before. */
  readonly repeats: number;
}

/** Decides what goes wrong with a request; undefined: nothing. */
export type FaultPlan = (request: ProxiedRequest) => Fault | undefined;

/** Bearer tokens that the proxy itself gives out, to whoever asks. */
export interface TokenRules {
  /** How many requests a token is good for. */
  readonly requests: number;
}

/**
 * Stands between clients and one HTTP server, and breaks what passes as a plan says.
 *
 * What the server says of itself in `Location` headers stays right: it is told the proxy's address as its own.
 */
export class FaultProxy implements AsyncDisposable {
  readonly #upstream: URL;
  readonly #server: Server;
  readonly #counts = new Map<string, number>();
  readonly #tokens = new Map<string, number>();
  #plan: FaultPlan = () => undefined;
  #tokenRules: TokenRules | undefined;
  #issued = 0;
  /** `METHOD range` of the requests that continue a transfer. */
  readonly continued: string[] = [];
  /** How many tokens were used up. */
  endedTokens = 0;
  /** Requests so far. */
  requests = 0;
  /** Faults so far. */
  faults = 0;

  private constructor(upstream: string) {
    this.#upstream = new URL(upstream);
    this.#server = createServer((request, response) => this.#serve(request, response));
  }

  static async start(upstream: string): Promise<FaultProxy> {
    const proxy = new FaultProxy(upstream);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  /** `localhost:port`. */
  get host(): string {
    return `localhost:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Begins anew with a plan. */
  use(plan: FaultPlan, options: { readonly tokens?: TokenRules } = {}): void {
    this.#plan = plan;
    this.#tokenRules = options.tokens;
    this.#counts.clear();
    this.#tokens.clear();
    this.requests = 0;
    this.faults = 0;
    this.endedTokens = 0;
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const { method = "GET", url: path = "/" } = request;
    this.requests += 1;
    const range = request.headers["content-range"] ?? request.headers.range;
    if (range !== undefined) this.continued.push(`${method} ${range}`);
    // Uploads have names of their own, and are the same request all the same.
    const key = `${method} ${path.replace(/[0-9a-f]{8}-[0-9a-f-]{27}|[?&]_state=[^&]*/g, "")}`;
    const repeats = this.#counts.get(key) ?? 0;
    this.#counts.set(key, repeats + 1);
    if (this.#tokenRules !== undefined && !this.#admit(request, response, this.#tokenRules)) return;
    const fault = this.#plan({ method, path, repeats });
    if (fault !== undefined) this.faults += 1;
    this.#answer(request, response, fault);
  }

  #answer(request: IncomingMessage, response: ServerResponse, fault: Fault | undefined): void {
    switch (fault?.kind) {
      case "reset":
        request.socket.resetAndDestroy();
        return;
      case "status":
        request.resume();
        response.writeHead(fault.status, fault.headers).end();
        return;
      case "late":
        setTimeout(() => this.#forward(request, response, undefined), fault.ms);
        return;
      case "half sent":
      case "truncated":
      case "wrong bytes":
      case undefined:
        this.#forward(request, response, fault?.kind);
        return;
      default:
        fault satisfies never;
    }
  }

  /** Answers a request for a token, and those that lack a good one. */
  #admit(request: IncomingMessage, response: ServerResponse, rules: TokenRules): boolean {
    if (request.url?.startsWith("/token") === true) {
      this.#issued += 1;
      const token = `token-${this.#issued}`;
      this.#tokens.set(token, rules.requests);
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ token, expires_in: 300 }));
      return false;
    }
    const token = /^Bearer (.*)$/.exec(request.headers.authorization ?? "")?.[1] ?? "";
    const left = this.#tokens.get(token) ?? 0;
    if (left > 0) {
      this.#tokens.set(token, left - 1);
      delete request.headers.authorization;
      return true;
    }
    if (token !== "") {
      this.faults += 1;
      this.endedTokens += 1;
    }
    request.resume();
    const challenge = `Bearer realm="http://${this.host}/token",service="faults",scope="repository:x:pull,push"`;
    response.writeHead(401, { "www-authenticate": challenge }).end();
    return false;
  }

  #forward(request: IncomingMessage, response: ServerResponse, fault: BodyFault | undefined): void {
    const { hostname, port } = this.#upstream;
    const outgoing = httpRequest({
      hostname,
      port,
      method: request.method,
      path: request.url,
      headers: { ...request.headers, host: this.host },
    });
    outgoing.on("error", () => response.destroy());
    outgoing.on("response", (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      if (fault === undefined || fault === "half sent") answer.pipe(response);
      else spoil(answer, response, fault);
    });
    request.on("error", () => outgoing.destroy());
    if (fault === "half sent") breakInTheMiddle(request, outgoing);
    else request.pipe(outgoing);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

type BodyFault = "half sent" | "truncated" | "wrong bytes";

/** Passes half of a body on, gives the server time to keep it, and hangs up on both. */
function breakInTheMiddle(request: IncomingMessage, outgoing: ClientRequest): void {
  const half = Number(request.headers["content-length"] ?? "0") >> 1;
  let sent = 0;
  request.on("data", (chunk: Buffer) => {
    if (sent >= half) return;
    const part = chunk.subarray(0, half - sent);
    sent += part.length;
    outgoing.write(part, () => {
      if (sent < half) return;
      outgoing.destroy();
      request.socket.resetAndDestroy();
    });
  });
}

/** Collects an answer, which tests keep small, and gives half of it, or all with one byte changed. */
function spoil(answer: IncomingMessage, response: ServerResponse, fault: Exclude<BodyFault, "half sent">): void {
  const chunks: Buffer[] = [];
  answer.on("data", (chunk: Buffer) => chunks.push(chunk));
  answer.on("end", () => {
    const body = Buffer.concat(chunks);
    const middle = body.length >> 1;
    if (fault === "wrong bytes") {
      body[middle] = (body[middle] ?? 0) ^ 0x55;
      response.end(body);
      return;
    }
    response.write(body.subarray(0, middle), () => response.socket?.resetAndDestroy());
  });
}
