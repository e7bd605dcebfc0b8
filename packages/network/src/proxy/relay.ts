import { createHash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Egress } from "./egress.ts";
import { hasBody, redirectTarget, requestHeaders, responseHeaders } from "./forwarded-headers.ts";
import type { ProxyRecords } from "./proxy-records.ts";
import type { IncompleteReason } from "./proxy-report.ts";
import { refuse } from "./refuse.ts";
import { shownUrl } from "./target-url.ts";

/** A client's request, and what it is really for. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly url: URL;
}

/** Gives a client a server's answer, piece by piece, and records what it was. */
export async function relay(
  { request, response, url }: Exchange,
  { egress, records }: { readonly egress: Egress; readonly records: ProxyRecords },
): Promise<void> {
  const { method = "GET" } = request;
  const shown = { method, url: shownUrl(url) };
  const left = new AbortController();
  response.once("close", () => left.abort(new DOMException("The client has left", "AbortError")));
  let answer: IncomingMessage;
  try {
    const body = hasBody(request) ? request : undefined;
    const headers = requestHeaders(request, url);
    answer = await egress.send({ method, url, headers, body }, { signal: left.signal });
  } catch (error) {
    records.addRequest({ ...shown, status: 502 });
    records.addIncomplete(shown, "upstream_error");
    refuse(response, 502, describe(error));
    return;
  }
  const { statusCode: status = 502 } = answer;
  const target = redirectTarget(answer, url);
  records.addRequest({ ...shown, status }, target && shownUrl(target));
  const digest = await passOn(answer, response);
  const reason = incompleteReason(request, status, digest !== undefined);
  if (reason !== undefined) records.addIncomplete(shown, reason);
  else if (digest !== undefined && status >= 200 && status < 300) records.addMaterial({ url: shown.url, digest });
}

/** The digest of the body; undefined, if the client was not given all of it. */
async function passOn(answer: IncomingMessage, response: ServerResponse): Promise<`sha256:${string}` | undefined> {
  const hash = createHash("sha256");
  const hashed = new Transform({
    transform: (chunk: Buffer, _encoding, done) => {
      hash.update(chunk);
      done(null, chunk);
    },
  });
  // The server's own, or none.
  response.sendDate = false;
  try {
    response.writeHead(answer.statusCode ?? 502, answer.statusMessage, responseHeaders(answer));
    await pipeline(answer, hashed, response);
  } catch {
    // Cut off, so that the client does not take what it has got for everything.
    response.destroy();
    answer.destroy();
    if (!answer.complete || !hashed.writableFinished) return undefined;
  }
  return `sha256:${hash.digest("hex")}`;
}

function incompleteReason(request: IncomingMessage, status: number, isComplete: boolean): IncompleteReason | undefined {
  if (request.method !== "GET") return "method_not_materializable";
  if (request.headers.range !== undefined || status === 206) return "partial_response";
  if (!isComplete) return "body_read_failed";
  return status >= 400 ? "unsuccessful_response" : undefined;
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  return error.message === "" ? code : error.message;
}
