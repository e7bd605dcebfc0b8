import { BuildError } from "@buildkit-ts/errdefs";
import type { Credentials, Token } from "./credential-source.ts";
import type { HttpAnswer, HttpSender } from "./http-sender.ts";
import { isLoopback } from "./registry-config.ts";
import { parseJson, RegistryStatusError, statusError } from "./registry-error.ts";

/** What a bearer challenge says about tokens. */
export interface TokenRealm {
  readonly realm: string;
  readonly service: string;
}

const clientId = "buildkit-client";
const maxTokenBytes = 1 << 20;

/** Gets a token from a registry's token server: anonymously, with a password, or with an identity token. */
export async function fetchToken(
  sender: HttpSender,
  request: TokenRealm & {
    readonly scopes: readonly string[];
    readonly credentials: Credentials | undefined;
    readonly plainHost: boolean;
  },
  options: { readonly signal: AbortSignal },
): Promise<Token> {
  const url = realmUrl(request);
  const { credentials } = request;
  if (credentials === undefined || credentials.secret === "") {
    return await explain(
      "failed to fetch anonymous token",
      async () => await getToken(sender, { ...request, url }, options),
    );
  }
  return await explain("failed to fetch oauth token", async () => {
    if (credentials.username === "") return await postToken(sender, { ...request, url, credentials }, options);
    try {
      return await getToken(sender, { ...request, url }, options);
    } catch (error) {
      // Some token servers only know OAuth's POST, and answer a GET with one of these.
      if (!(error instanceof RegistryStatusError) || ![401, 404, 405].includes(error.statusCode)) throw error;
      return await postToken(sender, { ...request, url, credentials }, options);
    }
  });
}

interface PreparedRequest extends TokenRealm {
  readonly url: URL;
  readonly scopes: readonly string[];
  readonly credentials: Credentials | undefined;
}

function realmUrl(request: {
  readonly realm: string;
  readonly credentials: Credentials | undefined;
  readonly plainHost: boolean;
}): URL {
  const url = URL.parse(request.realm);
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new BuildError("unauthenticated", "invalid token auth challenge realm");
  }
  // A registry that is reached safely must not be able to have a secret sent in the clear.
  if (url.protocol === "http:" && request.credentials !== undefined && !request.plainHost && !isLoopback(url.host)) {
    throw new BuildError("permission_denied", `Cannot send credentials to "${url.origin}": it is not encrypted`);
  }
  return url;
}

async function getToken(
  sender: HttpSender,
  request: PreparedRequest,
  options: { readonly signal: AbortSignal },
): Promise<Token> {
  const url = new URL(request.url);
  if (request.service !== "") url.searchParams.append("service", request.service);
  for (const scope of request.scopes) url.searchParams.append("scope", scope);
  const { credentials } = request;
  const headers: Record<string, string> = {};
  if (credentials !== undefined) headers["authorization"] = basicAuthorization(credentials);
  return await readToken(await sender.send({ method: "GET", url: url.href, headers }, options));
}

async function postToken(
  sender: HttpSender,
  request: PreparedRequest & { readonly credentials: Credentials },
  options: { readonly signal: AbortSignal },
): Promise<Token> {
  const { username, secret } = request.credentials;
  const form = new URLSearchParams({
    ...(request.scopes.length > 0 && { scope: request.scopes.join(" ") }),
    service: request.service,
    client_id: clientId,
    ...(username === ""
      ? { grant_type: "refresh_token", refresh_token: secret }
      : { grant_type: "password", username, password: secret }),
  });
  const headers = { "content-type": "application/x-www-form-urlencoded; charset=utf-8" };
  const body = (): string => form.toString();
  return await readToken(await sender.send({ method: "POST", url: request.url.href, headers, body }, options));
}

async function readToken(answer: HttpAnswer): Promise<Token> {
  const body = await answer.bytes(maxTokenBytes);
  if (answer.statusCode < 200 || answer.statusCode >= 400) throw statusError(answer, body);
  const parsed = parseJson(body);
  if (typeof parsed !== "object" || parsed === null)
    throw new BuildError("unauthenticated", "unable to decode token response");
  const fields = parsed as Readonly<Record<string, unknown>>;
  const token = [fields["token"], fields["access_token"]].find((value) => typeof value === "string" && value !== "");
  if (typeof token !== "string")
    throw new BuildError("unauthenticated", "authorization server did not include a token in the response");
  const expires = fields["expires_in"];
  const issuedAt = typeof fields["issued_at"] === "string" ? Date.parse(fields["issued_at"]) : Number.NaN;
  return {
    token,
    ...(typeof expires === "number" && { expiresInSeconds: expires }),
    ...(Number.isFinite(issuedAt) && { issuedAt }),
  };
}

/** The header for a user and password. */
export function basicAuthorization({ username, secret }: Credentials): string {
  return `Basic ${Buffer.from(`${username}:${secret}`).toString("base64")}`;
}

async function explain(what: string, work: () => Promise<Token>): Promise<Token> {
  try {
    return await work();
  } catch (error) {
    const { code, message } = BuildError.from(error);
    throw new BuildError(code, `${what}: ${message}`, { cause: error });
  }
}
