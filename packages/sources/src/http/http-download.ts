import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { BuildError } from "@buildkit-ts/errdefs";
import { type HttpAnswer, type HttpClient, isConnectionFailure, type PlainRequest } from "@buildkit-ts/registry";

const maxFailuresInARow = 5;

/**
 * The bytes of an answer. A connection that breaks is taken up again where it broke, if the server can tell that the
 * file is still the same one.
 *
 * A body that was compressed for the way is given as it was before, as Go's clients do.
 */
export async function* downloadBytes(
  client: HttpClient,
  first: { readonly request: PlainRequest; readonly answer: HttpAnswer },
  options: { readonly signal: AbortSignal },
): AsyncGenerator<Uint8Array, void> {
  const { answer, request } = first;
  if ((answer.header("content-encoding") ?? "").toLowerCase() === "gzip") yield* unpack(answer.body, options.signal);
  else yield* resuming(client, { request: { ...request, url: answer.url }, answer }, options);
}

async function* unpack(body: Readable, signal: AbortSignal): AsyncGenerator<Uint8Array, void> {
  const gunzip = createGunzip();
  // A failure of either end is that of the stream which is read here.
  const fed = pipeline(body, gunzip);
  fed.catch(() => undefined);
  try {
    for await (const chunk of gunzip) yield chunk as Buffer;
  } catch (error) {
    signal.throwIfAborted();
    throw broken(error);
  } finally {
    body.destroy();
  }
}

async function* resuming(
  client: HttpClient,
  first: { readonly request: PlainRequest; readonly answer: HttpAnswer },
  options: { readonly signal: AbortSignal },
): AsyncGenerator<Uint8Array, void> {
  const total = first.answer.contentLength;
  const validator = strongValidator(first.answer);
  let { answer } = first;
  let offset = 0;
  let failures = 0;
  for (;;) {
    let failure: unknown;
    try {
      for await (const chunk of answer.body) {
        offset += (chunk as Buffer).length;
        failures = 0;
        yield chunk as Buffer;
      }
      if (total === undefined || offset >= total) return;
      failure = new Error("the connection ended early");
    } catch (error) {
      options.signal.throwIfAborted();
      if (!isConnectionFailure(error)) throw broken(error);
      failure = error;
    } finally {
      answer.drop();
    }
    failures += 1;
    if (validator === undefined || failures === maxFailuresInARow) throw broken(failure);
    await client.pause(Math.min(250 * 2 ** failures, 8000), options);
    answer = await resume(client, { request: first.request, offset, validator }, options);
  }
}

async function resume(
  client: HttpClient,
  from: { readonly request: PlainRequest; readonly offset: number; readonly validator: string },
  options: { readonly signal: AbortSignal },
): Promise<HttpAnswer> {
  const { request, offset, validator } = from;
  const headers = {
    ...request.headers,
    "accept-encoding": "identity",
    range: `bytes=${offset}-`,
    "if-range": validator,
  };
  const answer = await client.send({ ...request, headers }, options);
  if (answer.statusCode === 206 && (answer.header("content-range") ?? "").startsWith(`bytes ${offset}-`)) return answer;
  answer.drop();
  // A whole answer is another file by now, or a server that cannot continue: what was written would not fit it.
  throw new BuildError("unavailable", `Cannot continue download at byte ${offset}: status ${answer.statusCode}`, {
    hint: "The connection broke, and the server does not send the rest.",
  });
}

/** What `If-Range` may hold: weak tags do not promise the same bytes. */
function strongValidator(answer: HttpAnswer): string | undefined {
  const etag = answer.header("etag");
  if (etag !== undefined && !etag.startsWith("W/")) return etag;
  return answer.header("last-modified");
}

function broken(cause: unknown): BuildError {
  return new BuildError("unavailable", `Cannot download file: ${(cause as Error).message}`, { cause });
}
