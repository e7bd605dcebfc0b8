import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import type { ContentProvider } from "@buildkit-ts/content";
import { BuildError } from "@buildkit-ts/errdefs";
import type { Descriptor } from "@buildkit-ts/oci";
import type { HttpAnswer } from "./http-sender.ts";
import { type PushTarget, sendPush } from "./push-request.ts";
import { RegistryStatusError } from "./registry-error.ts";
import { type RegistryRequestOptions, unexpectedStatus } from "./registry-exchange.ts";
import { backoffMs } from "./retry-policy.ts";

/** A blob to upload. */
export interface BlobToUpload {
  readonly descriptor: Descriptor;
  /** A file, or where the bytes can be read, possibly more than once. */
  readonly source: string | ContentProvider;
}

/** An upload that has begun: where its bytes go, and how many the registry has. */
interface Upload {
  readonly place: URL;
  readonly offset: number;
}

const maxAttempts = 5;

/**
 * Uploads a blob. One that breaks is continued where the registry says it ended, or begun anew where it does not say.
 *
 * @throws {BuildError} what the registry says in the end.
 */
export async function uploadBlob(
  target: PushTarget,
  blob: BlobToUpload,
  options: RegistryRequestOptions,
): Promise<void> {
  let upload = await begin(target, blob.descriptor, options);
  for (let attempt = 1; upload !== undefined; attempt += 1) {
    try {
      await send(target, { blob, upload }, options);
      return;
    } catch (error) {
      options.signal.throwIfAborted();
      if (!isWorthAnother(error) || attempt === maxAttempts) throw error;
      await target.exchange.clock.sleep(backoffMs(attempt), options);
      upload = (await findState(target, upload.place, options)) ?? (await begin(target, blob.descriptor, options));
    }
  }
}

/** Undefined, if the registry needs no bytes. */
async function begin(
  target: PushTarget,
  descriptor: Descriptor,
  options: RegistryRequestOptions,
): Promise<Upload | undefined> {
  const request = { method: "POST", path: "blobs/uploads/", headers: { "content-length": "0" } } as const;
  const answer = await sendPush(target, request, options);
  if (![200, 201, 202, 204].includes(answer.statusCode)) throw await unexpectedStatus(answer);
  await answer.discard();
  if (answer.statusCode === 201) return undefined;
  const place = placeOf(answer);
  if (place === undefined) {
    throw new BuildError(
      "unavailable",
      `Cannot push blob "${descriptor.digest}": the registry gave no location to upload to`,
    );
  }
  return { place, offset: 0 };
}

async function send(
  target: PushTarget,
  work: { readonly blob: BlobToUpload; readonly upload: Upload },
  options: RegistryRequestOptions,
): Promise<void> {
  const { blob, upload } = work;
  const { size, digest } = blob.descriptor;
  const type = { "content-type": "application/octet-stream" };
  let { place } = upload;
  let body: (() => Readable) | undefined = () => openSource(blob, 0, options);
  let length = size;
  if (upload.offset > 0) {
    // A part goes by itself; only a whole blob can come with the request that ends the upload.
    if (upload.offset < size) place = await sendRest(target, work, options);
    body = undefined;
    length = 0;
  }
  const url = new URL(place);
  url.searchParams.append("digest", digest);
  const headers = { ...type, "content-length": String(length) };
  const request = { method: "PUT", path: url.href, headers, isUpload: true } as const;
  const answer = await sendPush(target, { ...request, ...(body !== undefined && { body }) }, options);
  if (![200, 201, 204].includes(answer.statusCode)) throw await unexpectedStatus(answer);
  await answer.discard();
}

async function sendRest(
  target: PushTarget,
  { blob, upload }: { readonly blob: BlobToUpload; readonly upload: Upload },
  options: RegistryRequestOptions,
): Promise<URL> {
  const { size } = blob.descriptor;
  const { place, offset } = upload;
  const headers = {
    "content-type": "application/octet-stream",
    "content-length": String(size - offset),
    "content-range": `${offset}-${size - 1}`,
  };
  const body = (): Readable => openSource(blob, offset, options);
  const answer = await sendPush(target, { method: "PATCH", path: place.href, headers, body, isUpload: true }, options);
  if (![200, 201, 202, 204].includes(answer.statusCode)) throw await unexpectedStatus(answer);
  await answer.discard();
  return placeOf(answer) ?? place;
}

/** How far a broken upload came; undefined, if the registry knows of none, or of no byte. */
async function findState(target: PushTarget, place: URL, options: RegistryRequestOptions): Promise<Upload | undefined> {
  try {
    const answer = await sendPush(target, { method: "GET", path: place.href, headers: {} }, options);
    await answer.discard();
    const [, end = "0"] = /^(?:bytes=)?0-(\d{1,15})$/.exec(answer.header("range") ?? "") ?? [];
    // `0-0` stands for no byte as well as for one.
    if (answer.statusCode !== 204 || end === "0") return undefined;
    return { place: placeOf(answer) ?? place, offset: Number(end) + 1 };
  } catch (error) {
    options.signal.throwIfAborted();
    if (error instanceof BuildError) return undefined;
    throw error;
  }
}

function placeOf(answer: HttpAnswer): URL | undefined {
  const location = answer.header("location");
  const url = location === undefined ? null : URL.parse(location, answer.url);
  return url !== null && /^https?:$/.test(url.protocol) ? url : undefined;
}

function isWorthAnother(error: unknown): boolean {
  if (error instanceof RegistryStatusError && [408, 416, 425, 429].includes(error.statusCode)) return true;
  return error instanceof BuildError && error.code === "unavailable";
}

function openSource(
  { source, descriptor }: BlobToUpload,
  offset: number,
  options: { readonly signal: AbortSignal },
): Readable {
  if (typeof source === "string") return createReadStream(source, { start: offset, highWaterMark: 1 << 20 });
  const read = async function* (): AsyncGenerator<Uint8Array, void> {
    yield* await source.open(descriptor, { signal: options.signal, offset });
  };
  return Readable.from(read(), { objectMode: false, highWaterMark: 1 << 20 });
}
