import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import type { ContentProvider } from "@buildkit-ts/content";
import { BuildError } from "@buildkit-ts/errdefs";
import type { Descriptor, Reference } from "@buildkit-ts/oci";
import type { HttpAnswer } from "./http-sender.ts";
import { maxManifestBytes, verifyDigest } from "./manifests.ts";
import type { RegistryEndpoint } from "./registry-config.ts";
import { RegistryStatusError } from "./registry-error.ts";
import { type RegistryExchange, type RegistryRequestOptions, unexpectedStatus } from "./registry-exchange.ts";
import { repositoryScope } from "./scopes.ts";

/** A blob to upload. */
export interface BlobToPush {
  readonly descriptor: Descriptor;
  /** A file, or where the bytes can be read, possibly more than once. */
  readonly source: string | ContentProvider;
  /** Repositories of the same registry that may have the blob, the most likely first. */
  readonly mountFrom?: readonly string[];
}

/** How a blob came to be in the repository. */
export type PushOutcome = "existed" | "mounted" | "uploaded";

export interface PushTarget {
  readonly exchange: RegistryExchange;
  readonly endpoint: RegistryEndpoint;
  readonly reference: Reference;
}

const maxUploads = 5;

/** Makes a repository have a blob, at the least cost. */
export async function pushBlob(
  target: PushTarget,
  blob: BlobToPush,
  options: RegistryRequestOptions,
): Promise<PushOutcome> {
  if (await hasContent(target, { path: `blobs/${blob.descriptor.digest}` }, options)) return "existed";
  for (const from of (blob.mountFrom ?? []).slice(0, 3)) {
    if (from !== target.reference.path && (await tryMount(target, { blob, from }, options))) return "mounted";
  }
  for (let attempt = 1; ; attempt += 1) {
    try {
      await upload(target, blob, options);
      return "uploaded";
    } catch (error) {
      options.signal.throwIfAborted();
      // An upload that broke is begun anew: what the registry had of it may be gone.
      if (!isWorthAnotherUpload(error) || attempt === maxUploads) throw error;
      await target.exchange.clock.sleep(Math.min(1000 * 2 ** (attempt - 1), 8000), options);
    }
  }
}

/** Stores a manifest under the reference's tag, or under its digest where it has none. */
export async function pushManifest(
  target: PushTarget,
  manifest: { readonly descriptor: Descriptor; readonly bytes: Uint8Array },
  options: RegistryRequestOptions,
): Promise<"existed" | "uploaded"> {
  const { descriptor, bytes } = manifest;
  verifyDigest(bytes, descriptor.digest);
  if (bytes.length > maxManifestBytes) {
    throw new BuildError(
      "resource_exhausted",
      `Cannot push manifest "${descriptor.digest}": larger than ${maxManifestBytes} bytes`,
    );
  }
  const { reference } = target;
  // A digest beside the tag that is not this manifest's own means another one.
  const isOther = reference.digest !== undefined && reference.digest !== descriptor.digest;
  const object = isOther ? descriptor.digest : (reference.tag ?? descriptor.digest);
  const check = { path: `manifests/${object}`, mediaType: descriptor.mediaType, digest: descriptor.digest };
  if (await hasContent(target, check, options)) return "existed";
  const answer = await send(
    target,
    { method: "PUT", path: check.path, headers: { "content-type": descriptor.mediaType }, body: () => bytes },
    options,
  );
  if (![200, 201, 204].includes(answer.statusCode)) throw await unexpectedStatus(answer);
  const stored = answer.header("docker-content-digest");
  await answer.discard();
  if (stored !== undefined && stored !== descriptor.digest) {
    throw new BuildError(
      "data_loss",
      `Cannot push manifest "${descriptor.digest}": the registry stored ${stored.slice(0, 200)}`,
    );
  }
  return "uploaded";
}

function isWorthAnotherUpload(error: unknown): boolean {
  if (!(error instanceof BuildError)) return false;
  return (
    error.code === "unavailable" || (error instanceof RegistryStatusError && [408, 416, 429].includes(error.statusCode))
  );
}

async function hasContent(
  target: PushTarget,
  content: { readonly path: string; readonly mediaType?: string; readonly digest?: string },
  options: RegistryRequestOptions,
): Promise<boolean> {
  const accept = content.mediaType === undefined ? "*/*" : `${content.mediaType}, */*`;
  const answer = await send(target, { method: "HEAD", path: content.path, headers: { accept } }, options);
  if (answer.statusCode === 404 || answer.statusCode === 405) {
    await answer.discard();
    return false;
  }
  if (answer.statusCode !== 200) throw await unexpectedStatus(answer);
  await answer.discard();
  // A tag may stand for another manifest so far.
  return (
    content.digest === undefined ||
    content.path.endsWith(content.digest) ||
    answer.header("docker-content-digest") === content.digest
  );
}

async function tryMount(
  target: PushTarget,
  mount: { readonly blob: BlobToPush; readonly from: string },
  options: RegistryRequestOptions,
): Promise<boolean> {
  const query = new URLSearchParams({ mount: mount.blob.descriptor.digest, from: mount.from });
  const scopes = [repositoryScope(mount.from, "pull")];
  try {
    const answer = await send(
      target,
      { method: "POST", path: `blobs/uploads/?${query.toString()}`, headers: {}, scopes },
      options,
    );
    await answer.discard();
    // Anything else, such as the upload that 202 begins instead, is no reason to fail: the blob can be uploaded.
    return answer.statusCode === 201;
  } catch (error) {
    options.signal.throwIfAborted();
    if (error instanceof BuildError && error.code !== "internal") return false;
    throw error;
  }
}

async function upload(target: PushTarget, blob: BlobToPush, options: RegistryRequestOptions): Promise<void> {
  const { descriptor, source } = blob;
  const start = await send(
    target,
    { method: "POST", path: "blobs/uploads/", headers: { "content-length": "0" } },
    options,
  );
  if (![200, 201, 202, 204].includes(start.statusCode)) throw await unexpectedStatus(start);
  const location = start.header("location");
  await start.discard();
  if (start.statusCode === 201) return;
  const url = location === undefined ? null : URL.parse(location, start.url);
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new BuildError(
      "unavailable",
      `Cannot push blob "${descriptor.digest}": the registry gave no location to upload to`,
    );
  }
  url.searchParams.append("digest", descriptor.digest);
  const headers = { "content-type": "application/octet-stream", "content-length": String(descriptor.size) };
  const body = (): Readable => openSource(source, descriptor, options);
  const answer = await send(target, { method: "PUT", path: url.href, headers, body, isUpload: true }, options);
  if (![200, 201, 204].includes(answer.statusCode)) throw await unexpectedStatus(answer);
  await answer.discard();
}

function openSource(
  source: string | ContentProvider,
  descriptor: Descriptor,
  options: { readonly signal: AbortSignal },
): Readable {
  if (typeof source === "string") return createReadStream(source, { highWaterMark: 1 << 20 });
  const read = async function* (): AsyncGenerator<Uint8Array, void> {
    yield* await source.open(descriptor, options);
  };
  return Readable.from(read(), { objectMode: false, highWaterMark: 1 << 20 });
}

interface PushRequest {
  readonly method: "HEAD" | "POST" | "PUT";
  /** Below the repository, or a whole URL. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly scopes?: readonly string[];
  readonly body?: () => Uint8Array | Readable;
  /** Not to be sent twice to the same place. */
  readonly isUpload?: boolean;
}

async function send(
  { exchange, endpoint, reference }: PushTarget,
  request: PushRequest,
  options: RegistryRequestOptions,
): Promise<HttpAnswer> {
  const path = /^https?:/.test(request.path) ? request.path : `/${reference.path}/${request.path}`;
  const { isUpload = false, ...rest } = request;
  const scopes = [repositoryScope(reference.path, "push"), ...(request.scopes ?? [])];
  try {
    return await exchange.send({ ...rest, endpoint, path, scopes, isLast: !isUpload }, options);
  } catch (error) {
    if (!(error instanceof BuildError) || !error.message.endsWith(": authorization failed")) throw error;
    const text = `push access denied, repository does not exist or may require authorization: ${error.message}`;
    throw new BuildError("permission_denied", text, { cause: error });
  }
}
