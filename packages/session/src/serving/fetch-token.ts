import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { BuildError } from "@buildkit-ts/errdefs";

/** TLS settings for the token server of one registry. */
export interface TokenTls {
  readonly ca?: readonly string[];
  readonly cert?: string;
  readonly key?: string;
  readonly insecure?: boolean;
}

/** What to ask a token server for, and as whom. */
export interface TokenServerRequest {
  readonly realm: string;
  readonly service: string;
  readonly scopes: readonly string[];
  readonly username: string;
  readonly secret: string;
  readonly tls?: TokenTls | undefined;
}

/** A bearer token for a registry. */
export interface FetchedToken {
  readonly token: string;
  readonly expiresInSeconds: number;
  /** Seconds since the epoch; 0 for unknown. */
  readonly issuedAt: number;
}

const timeoutMs = 30_000;
const maxAnswerBytes = 1 << 20;
const defaultExpirySeconds = 60;

/** Fetches a token as OAuth does if there is a secret, and by a plain GET where the server does not know that. */
export async function fetchRegistryToken(
  request: TokenServerRequest,
  options: { readonly signal: AbortSignal },
): Promise<FetchedToken> {
  if (request.secret === "") {
    return parseToken(await getToken(request, options), "failed to fetch anonymous token");
  }
  const posted = await postToken(request, options);
  const isUnknown =
    posted.status === 404 || posted.status === 401 || (posted.status === 405 && request.username !== "");
  const answer = isUnknown ? await getToken(request, options) : posted;
  return parseToken(answer, "failed to fetch oauth token");
}

interface Answer {
  readonly url: string;
  readonly method: string;
  readonly status: number;
  readonly statusText: string;
  readonly body: string;
}

async function postToken(request: TokenServerRequest, options: { readonly signal: AbortSignal }): Promise<Answer> {
  const form = new URLSearchParams();
  form.set("client_id", "buildkit-client");
  if (request.username === "") {
    form.set("grant_type", "refresh_token");
    form.set("refresh_token", request.secret);
  } else {
    form.set("grant_type", "password");
    form.set("username", request.username);
    form.set("password", request.secret);
  }
  if (request.scopes.length > 0) form.set("scope", request.scopes.join(" "));
  form.set("service", request.service);
  const headers = { "content-type": "application/x-www-form-urlencoded; charset=utf-8" };
  return await send(
    { ...request, method: "POST", url: new URL(request.realm), headers, body: form.toString() },
    options,
  );
}

async function getToken(request: TokenServerRequest, options: { readonly signal: AbortSignal }): Promise<Answer> {
  const url = new URL(request.realm);
  if (request.service !== "") url.searchParams.append("service", request.service);
  for (const scope of request.scopes) url.searchParams.append("scope", scope);
  const headers: Record<string, string> = {};
  if (request.secret !== "") {
    const basic = Buffer.from(`${request.username}:${request.secret}`).toString("base64");
    headers["authorization"] = `Basic ${basic}`;
  }
  return await send({ ...request, method: "GET", url, headers, body: "" }, options);
}

async function send(
  request: {
    readonly method: string;
    readonly url: URL;
    readonly headers: Readonly<Record<string, string>>;
    readonly body: string;
    readonly tls?: TokenTls | undefined;
  },
  options: { readonly signal: AbortSignal },
): Promise<Answer> {
  const { method, url, tls } = request;
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout(timeoutMs)]);
  // Most builds of a client need no token.
  const { connectionFailure, nodeAgents } = await import("@buildkit-ts/proxies");
  const agents = nodeAgents({ timeout: timeoutMs }, process.env);
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const agent = url.protocol === "https:" ? agents.https : agents.http;
    const common = { agent, method, headers: { ...request.headers, "user-agent": "buildkit-ts" }, signal };
    const secure = {
      ...(tls?.ca !== undefined && { ca: [...tls.ca] }),
      ...(tls?.cert !== undefined && { cert: tls.cert }),
      ...(tls?.key !== undefined && { key: tls.key }),
      rejectUnauthorized: tls?.insecure !== true,
    };
    const outgoing = url.protocol === "https:" ? httpsRequest(url, { ...common, ...secure }) : httpRequest(url, common);
    outgoing.once("response", resolve);
    outgoing.once("error", (error) => {
      reject(
        new BuildError("unavailable", `${method} "${url.origin}": ${connectionFailure(error, url.host)}`, {
          cause: error,
        }),
      );
    });
    outgoing.end(request.body);
  });
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxAnswerBytes)
      throw new BuildError("resource_exhausted", `Cannot read token of "${url.origin}": too long`);
    chunks.push(chunk);
  }
  return {
    url: `${url.origin}${url.pathname}`,
    method,
    status: response.statusCode ?? 0,
    statusText: response.statusMessage ?? "",
    body: Buffer.concat(chunks).toString("utf8"),
  };
}

function parseToken(answer: Answer, context: string): FetchedToken {
  const { status } = answer;
  if (status < 200 || status >= 400) {
    const text = `${context}: unexpected status from ${answer.method} request to ${answer.url}: ${status} ${answer.statusText}`;
    throw new BuildError(status === 401 ? "unauthenticated" : status === 403 ? "permission_denied" : "unknown", text);
  }
  const parsed = JSON.parse(answer.body) as Record<string, unknown>;
  const token = parsed["token"] || parsed["access_token"];
  if (typeof token !== "string" || token === "") {
    throw new BuildError("unknown", `${context}: authorization server did not include a token in the response`);
  }
  const issuedAt = typeof parsed["issued_at"] === "string" ? Date.parse(parsed["issued_at"]) : Number.NaN;
  return {
    token,
    expiresInSeconds: Number(parsed["expires_in"]) || defaultExpirySeconds,
    issuedAt: Number.isNaN(issuedAt) ? 0 : Math.floor(issuedAt / 1000),
  };
}
