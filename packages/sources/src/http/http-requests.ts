import { BuildError } from "@buildkit-ts/errdefs";
import type { HttpAnswer, HttpClient } from "@buildkit-ts/registry";
import { GrpcByteStream, getSecret, type SessionManager, streamOutcome } from "@buildkit-ts/session";
import { withAnySession } from "../any-session.ts";
import type { SourceContext } from "../source.ts";
import { downloadBytes } from "./http-download.ts";
import { type HttpIdentifier, unescapePercent } from "./http-identifier.ts";

/** Headers and bytes of an answer. */
export interface Answer {
  header(name: string): string | undefined;
  readonly body: AsyncIterable<Uint8Array>;
}

/** What requests are sent with. */
export interface HttpServices {
  readonly client: HttpClient;
  readonly sessions: SessionManager;
}

/** The host of URLs that clients make up for files of their own. */
const sessionHost = "buildkit-session";
// What Go's client sends: some servers make other ETags for other encodings.
const acceptEncoding = "gzip";

/** What the server says of the file, without its bytes; undefined where it cannot be reached. */
export async function askHead(
  id: HttpIdentifier,
  services: HttpServices,
  request: { readonly context: SourceContext; readonly etags: readonly string[] },
): Promise<HttpAnswer | undefined> {
  const { context, etags } = request;
  const headers = { ...(await requestHeaders(id, services, context)), "if-none-match": etags.join(", ") };
  try {
    const answer = await services.client.send({ method: "HEAD", url: plainUrl(id), headers }, context);
    await answer.discard();
    return answer;
  } catch (error) {
    context.signal.throwIfAborted();
    if (error instanceof BuildError && error.code === "unavailable") return undefined;
    throw error;
  }
}

/** @throws {BuildError} `unavailable`, `invalid response status …`. */
export async function openFile(id: HttpIdentifier, services: HttpServices, context: SourceContext): Promise<Answer> {
  if (new URL(id.url).host === sessionHost) return await pullFromSession(id, services, context);
  const { signal } = context;
  const request = {
    method: "GET" as const,
    url: plainUrl(id),
    headers: await requestHeaders(id, services, context),
  };
  const answer = await services.client.send(request, { signal });
  if (answer.statusCode < 200 || answer.statusCode > 299) {
    await answer.discard();
    throw new BuildError(
      answer.statusCode === 404 ? "not_found" : "unavailable",
      `invalid response status ${answer.statusCode}`,
    );
  }
  return {
    header: (name) => answer.header(name),
    body: downloadBytes(services.client, { request, answer }, { signal }),
  };
}

/** Without user and password, which go into a header. */
function plainUrl(id: HttpIdentifier): string {
  const url = new URL(id.url);
  url.username = "";
  url.password = "";
  return url.href;
}

async function requestHeaders(
  id: HttpIdentifier,
  services: HttpServices,
  context: SourceContext,
): Promise<Record<string, string>> {
  const authorization = await findAuthorization(id, services, context);
  return {
    "accept-encoding": acceptEncoding,
    ...Object.fromEntries(id.headers.map(({ name, value }) => [name.toLowerCase(), value])),
    ...(authorization !== undefined && { authorization }),
  };
}

/** Secrets that the clients may have for the host; only one that was asked for by name must exist. */
async function findAuthorization(
  id: HttpIdentifier,
  services: HttpServices,
  context: SourceContext,
): Promise<string | undefined> {
  if (id.authHeaderSecret !== "") return await readSecret(id.authHeaderSecret, services, context);
  const url = new URL(id.url);
  const { hostname } = url;
  const token = await findSecret(`HTTP_AUTH_TOKEN_${hostname}`, services, context);
  if (token !== undefined) return `Bearer ${token}`;
  const header = await findSecret(`HTTP_AUTH_HEADER_${hostname}`, services, context);
  if (header !== undefined || (url.username === "" && url.password === "")) return header;
  const user = `${unescapePercent(url.username)}:${unescapePercent(url.password)}`;
  return `Basic ${Buffer.from(user).toString("base64")}`;
}

async function findSecret(secret: string, services: HttpServices, context: SourceContext): Promise<string | undefined> {
  try {
    return await readSecret(secret, services, context);
  } catch (error) {
    context.signal.throwIfAborted();
    if (error instanceof BuildError) return undefined;
    throw error;
  }
}

async function readSecret(secret: string, services: HttpServices, context: SourceContext): Promise<string> {
  const { signal } = context;
  return await withAnySession(services.sessions, context.sessions(), {
    signal,
    work: async (caller) => Buffer.from(await getSecret(caller, secret, { signal })).toString("utf8"),
  });
}

/** A file that a client offers by a URL of its own, such as a Dockerfile from its standard input. */
async function pullFromSession(id: HttpIdentifier, services: HttpServices, context: SourceContext): Promise<Answer> {
  const { signal } = context;
  const { pathname, host } = new URL(id.url);
  return await withAnySession(services.sessions, context.sessions(), {
    signal,
    work: async (caller) => {
      const method = "/moby.upload.v1.Upload/Pull";
      if (!caller.supports(method))
        throw new BuildError("unimplemented", `method ${method} not supported by the client`);
      const stream = caller.openStream(method, { urlpath: pathname, urlhost: host });
      const outcome = streamOutcome(stream, { signal });
      outcome.catch(() => undefined);
      const bytes = new GrpcByteStream(stream);
      return { header: () => undefined, body: untilOutcome(bytes, outcome) };
    },
  });
}

async function* untilOutcome(
  bytes: AsyncIterable<Uint8Array>,
  outcome: Promise<void>,
): AsyncGenerator<Uint8Array, void> {
  yield* bytes;
  await outcome;
}
