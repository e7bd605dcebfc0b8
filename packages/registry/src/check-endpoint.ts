import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { BuildError } from "@buildkit-ts/errdefs";
import { connectionFailure, proxyFor } from "@buildkit-ts/proxies";
import type { Authorizer } from "./authorizer.ts";
import { parseChallenges } from "./challenge.ts";
import type { HttpAnswer, HttpSender } from "./http-sender.ts";
import type { RegistryEndpoint } from "./registry-config.ts";
import type { RegistryRequestOptions } from "./registry-exchange.ts";
import { errorCodes } from "./retry-policy.ts";

/** One thing that was tried, and how it went. */
export interface CheckedStep {
  readonly what: string;
  readonly ok: boolean;
  readonly detail: string;
  /** What may help; empty where nothing is wrong. */
  readonly hint: string;
}

/** One server of a registry: what applies to it, and what happened when it was asked. */
export interface CheckedEndpoint {
  readonly url: string;
  readonly isMirror: boolean;
  readonly settings: readonly string[];
  readonly steps: readonly CheckedStep[];
}

/** What a check works with. */
export interface CheckTools {
  readonly sender: HttpSender;
  readonly authorizer: Authorizer;
  /** The registry's name in the configuration. */
  readonly domain: string;
}

const maxWaitMs = 15_000;

/** Tries what a pull would begin with, step by step, until one fails. Nothing is tried again. */
export async function checkEndpoint(
  endpoint: RegistryEndpoint,
  tools: CheckTools,
  options: RegistryRequestOptions,
): Promise<CheckedEndpoint> {
  const limited = { ...options, signal: AbortSignal.any([options.signal, AbortSignal.timeout(maxWaitMs)]) };
  const check = new EndpointCheck(endpoint, tools, limited);
  const steps = await check.run();
  options.signal.throwIfAborted();
  const scheme = endpoint.scheme === "http" ? "http" : "https";
  return {
    url: `${scheme}://${endpoint.host}${endpoint.path}/`,
    isMirror: !endpoint.canPush,
    settings: settingsOf(endpoint),
    steps,
  };
}

class EndpointCheck {
  readonly #endpoint: RegistryEndpoint;
  readonly #tools: CheckTools;
  readonly #options: RegistryRequestOptions;
  readonly #steps: CheckedStep[] = [];

  constructor(endpoint: RegistryEndpoint, tools: CheckTools, options: RegistryRequestOptions) {
    this.#endpoint = endpoint;
    this.#tools = tools;
    this.#options = options;
  }

  async run(): Promise<readonly CheckedStep[]> {
    if (!(await this.#resolveName())) return this.#steps;
    const { scheme } = this.#endpoint;
    const first = scheme === "http" ? ("http" as const) : ("https" as const);
    let used = first as "http" | "https";
    let answer = await this.#ask(first);
    if (answer === undefined && scheme === "https-or-http") {
      used = "http";
      answer = await this.#ask("http");
    }
    if (answer !== undefined) await this.#signIn(answer, used);
    return this.#steps;
  }

  #pass(what: string, detail: string): true {
    this.#steps.push({ what, ok: true, detail, hint: "" });
    return true;
  }

  #fail(what: string, detail: string, hint = ""): false {
    this.#steps.push({ what, ok: false, detail, hint });
    return false;
  }

  async #resolveName(): Promise<boolean> {
    const name = hostname(this.#endpoint.host);
    if (isIP(name) !== 0) return true;
    try {
      const addresses = (await lookup(name, { all: true })).map(({ address }) => address);
      return this.#pass("resolve the name", addresses.join(", "));
    } catch (error) {
      const { host, scheme } = this.#endpoint;
      const proxy = proxyFor(new URL(`${scheme === "http" ? "http" : "https"}://${host}`), process.env);
      const hint = proxy === undefined ? "Is the name right, and does DNS know it?" : "";
      this.#fail("resolve the name", (error as Error).message, hint);
      // Through a proxy it is the proxy that has to know the name.
      return hint === "";
    }
  }

  async #ask(scheme: "http" | "https", authorization?: string): Promise<HttpAnswer | undefined> {
    const { host, path, tls } = this.#endpoint;
    const url = `${scheme}://${host}${path}/`;
    const what = `GET ${url}${authorization === undefined ? "" : " with credentials"}`;
    try {
      const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
      const answer = await this.#tools.sender.send({ method: "GET", url, headers, tls }, this.#options);
      const status = `${answer.statusCode} ${answer.statusText}`.trim();
      const isGood = answer.statusCode < 400 || (answer.statusCode === 401 && authorization === undefined);
      if (isGood) this.#pass(what, status);
      else this.#fail(what, status, statusHint(answer.statusCode, authorization !== undefined));
      await answer.discard();
      return isGood ? answer : undefined;
    } catch (error) {
      const { detail, hint } = explainConnection(error, { scheme, domain: this.#tools.domain, host });
      this.#fail(what, detail, hint);
      return undefined;
    }
  }

  async #signIn(answer: HttpAnswer, scheme: "http" | "https"): Promise<void> {
    if (answer.statusCode !== 401) {
      this.#pass("sign in", "the server asks for no credentials");
      return;
    }
    const challenges = parseChallenges(answer.headers("www-authenticate"));
    const names = challenges.map(({ scheme: kind, parameters }) => {
      const realm = parameters.get("realm");
      return realm === undefined || kind === "basic" ? kind : `${kind} token from ${realm}`;
    });
    const request = {
      host: this.#endpoint.host,
      source: this.#options.credentials,
      scopes: [],
      plainHost: scheme === "http",
    };
    try {
      const { signal } = this.#options;
      const goesOn = await this.#tools.authorizer.learn(request, answer, { signal, isRepeated: false });
      const header = goesOn ? await this.#tools.authorizer.header(request, { signal }) : undefined;
      if (header === undefined) {
        this.#fail(
          "sign in",
          `the server wants ${names.join(" or ")}, and there are no credentials`,
          loginHint(request.host),
        );
        return;
      }
      this.#pass("sign in", names.join(" or "));
      await this.#ask(scheme, header);
    } catch (error) {
      this.#fail("sign in", BuildError.from(error).message, loginHint(request.host));
    }
  }
}

function settingsOf({ host, tls, scheme, namespace }: RegistryEndpoint): string[] {
  const proxy = proxyFor(new URL(`${scheme === "http" ? "http" : "https"}://${host}`), process.env);
  return [
    scheme === "http" ? "plain HTTP" : scheme === "https" ? "TLS" : "TLS, or plain HTTP where the server has no TLS",
    ...(tls.insecure === true ? ["any certificate is accepted"] : []),
    ...(tls.ca ?? []).map((path) => `authority ${path}`),
    ...(tls.keyPairs ?? []).map(({ cert }) => `client certificate ${cert}`),
    ...(tls.tlsConfigDirs ?? []).map((path) => `certificates in ${path}`),
    ...(namespace === undefined ? [] : [`asked for the content of ${namespace}`]),
    ...(proxy === undefined ? [] : [`proxy ${proxy.host}`]),
  ];
}

function hostname(host: string): string {
  return host.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
}

function statusHint(status: number, isSignedIn: boolean): string {
  if (status === 404) return "The server answers, but not as a registry: is its path part of the mirror's name?";
  if (status === 401 || status === 403)
    return isSignedIn ? "The registry knows the user, or does not, and allows nothing: log in again." : "";
  if (status === 429) return "The registry limits how often it may be asked: log in, or use a mirror.";
  return status >= 500 ? "The registry itself is in trouble: try again later, or use a mirror." : "";
}

function loginHint(host: string): string {
  return `Run "docker login ${host}" where the client runs: credentials come from its config.json.`;
}

/** What a failed connection means, and which line of the configuration would help. */
function explainConnection(
  error: unknown,
  place: { readonly scheme: string; readonly domain: string; readonly host: string },
): { readonly detail: string; readonly hint: string } {
  const detail = connectionFailure(error, place.host);
  const codes = errorCodes(error);
  const has = (...wanted: readonly string[]): boolean => wanted.some((code) => codes.includes(code));
  const table = `[registry."${place.host}"]`;
  if (
    codes.some(
      (code) =>
        code === "EPROTO" || code.startsWith("ERR_SSL_WRONG_VERSION") || code === "ERR_SSL_PACKET_LENGTH_TOO_LONG",
    )
  )
    return { detail: "the server does not speak TLS", hint: `Set http = true in ${table}.` };
  if (codes.some((code) => /CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE|BAD_CERTIFICATE/.test(code)))
    return { detail, hint: `The server wants a client certificate: add [[registry."${place.host}".keypair]].` };
  if (
    has(
      "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
      "SELF_SIGNED_CERT_IN_CHAIN",
      "DEPTH_ZERO_SELF_SIGNED_CERT",
      "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
    )
  )
    return {
      detail: `its certificate is signed by nobody who is trusted (${detail})`,
      hint: `Add ca = ["/path/to/ca.pem"] to ${table}.`,
    };
  if (has("ERR_TLS_CERT_ALTNAME_INVALID"))
    return { detail, hint: "The certificate is made for another name: reach the registry by that." };
  if (has("CERT_HAS_EXPIRED", "CERT_NOT_YET_VALID"))
    return { detail, hint: "Renew the certificate, or set the clock." };
  // The alert that says so comes with the end of the connection, and is not always read before.
  if (place.scheme === "https" && has("UND_ERR_SOCKET", "ECONNRESET"))
    return {
      detail,
      hint: `Where the server wants a client certificate: add [[registry."${place.host}".keypair]].`,
    };
  if (has("ECONNREFUSED"))
    return { detail, hint: "Nobody listens there: is the port right, and does the registry run?" };
  if (
    has("ETIMEDOUT", "UND_ERR_CONNECT_TIMEOUT", "EHOSTUNREACH", "ENETUNREACH") ||
    (error instanceof Error && error.name === "TimeoutError")
  )
    return { detail, hint: "No answer: a firewall may be in the way, or HTTPS_PROXY be needed." };
  return { detail, hint: "" };
}
