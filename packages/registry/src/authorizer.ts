import { type Clock, SingleFlight } from "@buildkit-ts/async";
import { BuildError } from "@buildkit-ts/errdefs";
import { type Challenge, parseChallenges } from "./challenge.ts";
import type { CredentialSource, Token } from "./credential-source.ts";
import type { HttpAnswer, HttpSender } from "./http-sender.ts";
import { mergeScopes } from "./scopes.ts";
import { basicAuthorization, fetchToken } from "./token-fetcher.ts";

/** Who asks for what. */
export interface AuthorizationRequest {
  readonly host: string;
  readonly source: CredentialSource;
  readonly scopes: readonly string[];
  /** The host is reached without TLS, so secrets are in the clear anyway. */
  readonly plainHost: boolean;
}

type Scheme =
  | { readonly kind: "basic"; readonly header: string }
  | { readonly kind: "bearer"; readonly realm: string; readonly service: string; readonly scopes: readonly string[] };

interface CachedToken {
  readonly header: string;
  readonly expiresAt: number;
}

const defaultExpirySeconds = 60;
const maxEntries = 1000;

/**
 * Remembers how each registry wants requests to be authorised, and the tokens it gave, for each source of credentials.
 * Secrets are not kept, but for registries that want them with every request.
 */
export class Authorizer {
  readonly #sender: HttpSender;
  readonly #clock: Clock;
  readonly #schemes = new Map<string, Scheme>();
  readonly #tokens = new Map<string, CachedToken>();
  readonly #fetches = new SingleFlight<string, CachedToken>();

  constructor(options: { readonly sender: HttpSender; readonly clock: Clock }) {
    this.#sender = options.sender;
    this.#clock = options.clock;
  }

  /** The `Authorization` header; undefined while the registry has not asked for one. */
  async header(request: AuthorizationRequest, options: { readonly signal: AbortSignal }): Promise<string | undefined> {
    const scheme = this.#schemes.get(schemeKey(request));
    if (scheme === undefined) return undefined;
    if (scheme.kind === "basic") return scheme.header;
    const scopes = mergeScopes([...scheme.scopes, ...request.scopes]);
    const key = [schemeKey(request), ...scopes].join(" ");
    const cached = this.#tokens.get(key);
    if (cached !== undefined && cached.expiresAt > this.#clock.now()) return cached.header;
    try {
      const fetched = await this.#fetches.run(
        key,
        async (signal) => await this.#fetchToken({ ...request, scopes }, scheme, { signal }),
        options,
      );
      remember(this.#tokens, key, fetched);
      return fetched.header;
    } catch (error) {
      options.signal.throwIfAborted();
      const { code, message } = BuildError.from(error);
      throw new BuildError(code, `failed to authorize: ${message}`, { cause: error });
    }
  }

  /**
   * Learns from a 401. Tells whether a further attempt makes sense.
   *
   * @param isRepeated The request was sent with an authorisation made from an earlier answer to it.
   * @throws {BuildError} `unauthenticated`, when the registry refuses what it was shown.
   */
  async learn(
    request: AuthorizationRequest,
    answer: HttpAnswer,
    options: { readonly signal: AbortSignal; readonly isRepeated: boolean },
  ): Promise<boolean> {
    for (const challenge of parseChallenges(answer.headers("www-authenticate"))) {
      if (challenge.scheme === "bearer") return this.#learnBearer(request, challenge, options.isRepeated);
      if (challenge.scheme === "basic" && !options.isRepeated) {
        const credentials = await request.source.credentials(request.host, options);
        if (credentials === undefined || credentials.username === "" || credentials.secret === "") return false;
        this.#remember(request, { kind: "basic", header: basicAuthorization(credentials) });
        return true;
      }
    }
    return false;
  }

  #learnBearer(request: AuthorizationRequest, challenge: Challenge, isRepeated: boolean): boolean {
    const { parameters } = challenge;
    const error = parameters.get("error");
    if (isRepeated && error !== undefined) {
      this.#forget(request);
      const text = error.slice(0, 200);
      throw new BuildError("unauthenticated", `server message: ${text}: authorization failed`);
    }
    const realm = parameters.get("realm");
    if (isRepeated || realm === undefined) return false;
    // A token that was valid may have been revoked: all are asked for anew.
    this.#forget(request);
    const scopes = mergeScopes([parameters.get("scope") ?? ""]).slice(0, 20);
    this.#remember(request, {
      kind: "bearer",
      realm,
      service: parameters.get("service") ?? "",
      scopes: keepForeign(scopes, request),
    });
    return true;
  }

  async #fetchToken(
    request: AuthorizationRequest,
    scheme: Extract<Scheme, { kind: "bearer" }>,
    options: { readonly signal: AbortSignal },
  ): Promise<CachedToken> {
    const { host, source, scopes } = request;
    const { realm, service } = scheme;
    const token: Token =
      (await source.fetchToken?.({ host, realm, service, scopes }, options)) ??
      (await fetchToken(
        this.#sender,
        { realm, service, scopes, credentials: await source.credentials(host, options), plainHost: request.plainHost },
        options,
      ));
    const seconds =
      token.expiresInSeconds === undefined || token.expiresInSeconds <= 0
        ? defaultExpirySeconds
        : token.expiresInSeconds;
    // A token that expires under way would cost a further round trip.
    return { header: `Bearer ${token.token}`, expiresAt: (token.issuedAt ?? this.#clock.now()) + seconds * 900 };
  }

  #remember(request: AuthorizationRequest, scheme: Scheme): void {
    remember(this.#schemes, schemeKey(request), scheme);
  }

  #forget(request: AuthorizationRequest): void {
    const key = schemeKey(request);
    this.#schemes.delete(key);
    for (const token of this.#tokens.keys()) if (token.startsWith(`${key} `)) this.#tokens.delete(token);
  }
}

/** Scopes of repositories come with each request; what else a registry wants is wanted always. */
function keepForeign(scopes: readonly string[], request: AuthorizationRequest): string[] {
  return request.scopes.length === 0 ? [...scopes] : scopes.filter((scope) => !scope.startsWith("repository:"));
}

function schemeKey({ host, source }: AuthorizationRequest): string {
  return `${host}\n${source.id}`;
}

/** Keeps the newest entries only: ids of sources come and go with sessions. */
function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
  const [oldest] = map.keys();
  if (map.size > maxEntries && oldest !== undefined) map.delete(oldest);
}
