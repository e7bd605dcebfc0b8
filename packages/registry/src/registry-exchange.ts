import { type Clock, Semaphore } from "@buildkit-ts/async";
import { BuildError } from "@buildkit-ts/errdefs";
import { connectionFailure } from "@buildkit-ts/proxies";
import type { Authorizer } from "./authorizer.ts";
import type { CredentialSource } from "./credential-source.ts";
import type { HttpAnswer, HttpRequest, HttpSender } from "./http-sender.ts";
import type { RegistryEndpoint } from "./registry-config.ts";
import { redactUrl, statusError } from "./registry-error.ts";
import {
  backoffMs,
  errorCodes,
  isConnectionFailure,
  isPassing,
  isStuck,
  maxAttempts,
  retryAfterMs,
} from "./retry-policy.ts";

/** What each request to a registry needs. */
export interface RegistryRequestOptions {
  readonly signal: AbortSignal;
  readonly credentials: CredentialSource;
  /** Any certificate, or none, is accepted: for this request, whatever the configuration says. */
  readonly insecure?: boolean;
}

export interface EndpointRequest extends Omit<HttpRequest, "url" | "tls"> {
  readonly endpoint: RegistryEndpoint;
  /** After the endpoint's path, beginning with a slash; or, for the location of an upload, a whole URL. */
  readonly path: string;
  readonly scopes: readonly string[];
  /** The last endpoint that can be asked: only then are its failures worth retries. */
  readonly isLast: boolean;
}

/** How many talk to one registry at the same time. */
interface Limits {
  readonly all: Semaphore;
  readonly blobs: Semaphore;
  readonly uploads: Semaphore;
}

/** Sends requests to endpoints: with authorisation, retries after failures that may pass, and TLS or not. */
export class RegistryExchange {
  readonly clock: Clock;
  readonly #sender: HttpSender;
  readonly #authorizer: Authorizer;
  readonly #plainHosts = new Set<string>();
  readonly #limits = new Map<string, Limits>();
  readonly #maxTransfers: number;

  constructor(options: {
    readonly sender: HttpSender;
    readonly authorizer: Authorizer;
    readonly clock: Clock;
    readonly maxTransfers: number;
  }) {
    this.clock = options.clock;
    this.#sender = options.sender;
    this.#authorizer = options.authorizer;
    this.#maxTransfers = options.maxTransfers;
  }

  /** A permit to talk to a registry. Blobs leave one place free, so that manifests never wait for them. */
  async acquire(
    domain: string,
    kind: "blob" | "json" | "upload",
    options: { readonly signal: AbortSignal },
  ): Promise<Disposable> {
    let limits = this.#limits.get(domain);
    if (limits === undefined) {
      limits = {
        all: new Semaphore(this.#maxTransfers + 1),
        blobs: new Semaphore(this.#maxTransfers),
        uploads: new Semaphore(this.#maxTransfers),
      };
      this.#limits.set(domain, limits);
    }
    using permits = new DisposableStack();
    // An upload may read its bytes from the same registry: were both counted together, each could wait for the other.
    if (kind === "upload") return await limits.uploads.acquire(options);
    if (kind === "blob") permits.use(await limits.blobs.acquire(options));
    permits.use(await limits.all.acquire(options));
    return permits.move();
  }

  /** The answer, whatever its status is; statuses that may pass were tried again. */
  async send(request: EndpointRequest, options: RegistryRequestOptions): Promise<HttpAnswer> {
    const statuses: number[] = [];
    for (let attempt = 1; ; attempt += 1) {
      const isFinal = attempt === maxAttempts || !request.isLast;
      let delayMs = backoffMs(attempt);
      try {
        const answer = await this.#authorized(request, options);
        statuses.push(answer.statusCode);
        if (isFinal || isStuck(statuses) || !isPassing(answer.statusCode)) return answer;
        delayMs = retryAfterMs(answer, this.clock.now()) ?? delayMs;
        answer.drop();
      } catch (error) {
        options.signal.throwIfAborted();
        if (error instanceof BuildError) throw error;
        if (isFinal || !isConnectionFailure(error)) throw connectionError(request, error);
      }
      await this.clock.sleep(delayMs, options);
    }
  }

  async #authorized(request: EndpointRequest, options: RegistryRequestOptions): Promise<HttpAnswer> {
    const { endpoint, scopes } = request;
    const authorization = {
      host: endpoint.host,
      source: options.credentials,
      scopes,
      plainHost: this.#isPlain(endpoint),
    };
    // An upload may have been directed elsewhere, and whoever is there gets no secret.
    const isForeign = /^https?:/.test(request.path) && new URL(request.path).host !== endpoint.host;
    let isRepeated = false;
    for (;;) {
      const header = isForeign ? undefined : await this.#authorizer.header(authorization, options);
      const headers = header === undefined ? request.headers : { ...request.headers, authorization: header };
      const answer = await this.#withScheme({ ...request, headers }, options);
      if (answer.statusCode !== 401 || isForeign) return answer;
      const again = await this.#authorizer.learn(authorization, answer, { signal: options.signal, isRepeated });
      if (!again) return answer;
      await answer.discard();
      isRepeated = true;
    }
  }

  async #withScheme(request: EndpointRequest, options: RegistryRequestOptions): Promise<HttpAnswer> {
    const { endpoint } = request;
    // Another request may learn meanwhile that the host is plain: what counts is how this one was sent.
    const scheme = this.#isPlain(endpoint) ? "http" : "https";
    try {
      return await this.#sendOnce(request, scheme, options);
    } catch (error) {
      if (endpoint.scheme !== "https-or-http" || scheme === "http" || !isNoTls(error)) throw error;
      options.signal.throwIfAborted();
      const answer = await this.#sendOnce(request, "http", options);
      if (answer.statusCode !== 400) {
        this.#plainHosts.add(endpoint.host);
        return answer;
      }
      // It does speak TLS: that connection broke, or wanted a certificate of ours.
      answer.drop();
      throw error;
    }
  }

  async #sendOnce(
    request: EndpointRequest,
    scheme: "http" | "https",
    options: RegistryRequestOptions,
  ): Promise<HttpAnswer> {
    const { endpoint, method, headers, body } = request;
    const base = `${scheme}://${endpoint.host}`;
    const url = new URL(/^https?:/.test(request.path) ? request.path : `${base}${endpoint.path}${request.path}`);
    if (endpoint.namespace !== undefined) url.searchParams.append("ns", endpoint.namespace);
    const http = { method, headers, url: url.href, tls: endpoint.tls, ...(body !== undefined && { body }) };
    return await this.#sender.send(http, options);
  }

  #isPlain(endpoint: RegistryEndpoint): boolean {
    return endpoint.scheme === "http" || (endpoint.scheme === "https-or-http" && this.#plainHosts.has(endpoint.host));
  }
}

/** The error for an answer that cannot be used; reads what the registry says about it. */
export async function unexpectedStatus(answer: HttpAnswer): Promise<BuildError> {
  return statusError(answer, await answer.excerpt(64_000));
}

/** A server that does not speak TLS answers a greeting with plain text, or hangs up. */
function isNoTls(error: unknown): boolean {
  return errorCodes(error).some(
    (code) => code === "EPROTO" || code.startsWith("ERR_SSL_") || code === "ECONNRESET" || code === "UND_ERR_SOCKET",
  );
}

function connectionError(request: EndpointRequest, error: unknown): BuildError {
  const text = connectionFailure(error, request.endpoint.host);
  const url = redactUrl(
    /^https?:/.test(request.path)
      ? request.path
      : `https://${request.endpoint.host}${request.endpoint.path}${request.path}`,
  );
  const verb = request.method.slice(0, 1) + request.method.slice(1).toLowerCase();
  return new BuildError("unavailable", `failed to do request: ${verb} "${url}": ${text}`, { cause: error });
}
