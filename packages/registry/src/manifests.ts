import { createHash } from "node:crypto";
import { BuildError } from "@buildkit-ts/errdefs";
import {
  type Descriptor,
  type Digest,
  digestOf,
  formatReference,
  isDigest,
  mediaTypes,
  type Reference,
} from "@buildkit-ts/oci";
import type { HttpAnswer } from "./http-sender.ts";
import type { RegistryEndpoint } from "./registry-config.ts";
import { type RegistryExchange, type RegistryRequestOptions, unexpectedStatus } from "./registry-exchange.ts";
import { repeatDamaged } from "./retry-policy.ts";
import { repositoryScope } from "./scopes.ts";

/** A manifest or index, verified against its descriptor. */
export interface FetchedManifest {
  readonly descriptor: Descriptor;
  readonly bytes: Buffer;
}

/** containerd's limit. */
export const maxManifestBytes: number = 4 << 20;

const accept = [
  mediaTypes.dockerManifest,
  mediaTypes.dockerManifestList,
  mediaTypes.ociManifest,
  mediaTypes.ociIndex,
  "*/*",
].join(", ");

interface ManifestTarget {
  readonly exchange: RegistryExchange;
  readonly endpoints: readonly RegistryEndpoint[];
  readonly reference: Reference;
}

/** What the reference names now, found at the first endpoint that knows it. */
export async function resolveManifest(target: ManifestTarget, options: RegistryRequestOptions): Promise<Descriptor> {
  return await atEachEndpoint(target, options, async (endpoint, isLast) => {
    const object = objectOf(target.reference);
    const ask = { endpoint, isLast, path: `/${target.reference.path}/manifests/${object}` };
    const answer = await requestManifest(target, { ...ask, method: "HEAD" }, options);
    // Some registries know no HEAD.
    if (answer.statusCode === 405)
      return await readManifest(target, await requestManifest(target, { ...ask, method: "GET" }, options));
    if (answer.statusCode === 404) return await answer.discard();
    if (answer.statusCode >= 300) throw await describeRefusal(target, ask, { answer, options });
    await answer.discard();
    const descriptor = descriptorOf(target.reference, answer);
    // Without size or digest in the headers only the bytes themselves tell.
    return (
      descriptor ?? (await readManifest(target, await requestManifest(target, { ...ask, method: "GET" }, options)))
    );
  });
}

/** The bytes that a descriptor (or the reference alone) names. */
export async function fetchManifest(
  target: ManifestTarget,
  descriptor: Descriptor | undefined,
  options: RegistryRequestOptions,
): Promise<FetchedManifest> {
  const reference = descriptor === undefined ? target.reference : { ...target.reference, digest: descriptor.digest };
  const fixed = { ...target, reference };
  return await atEachEndpoint(fixed, options, async (endpoint, isLast) => {
    const path = `/${reference.path}/manifests/${objectOf(reference)}`;
    const answer = await requestManifest(fixed, { endpoint, isLast, path, method: "GET" }, options);
    if (answer.statusCode === 404) return await answer.discard();
    if (answer.statusCode >= 300) throw await unexpectedStatus(answer);
    const bytes = await readBytes(reference, answer);
    const found = describe(reference, answer, bytes);
    return { descriptor: { ...found, mediaType: descriptor?.mediaType ?? found.mediaType }, bytes };
  });
}

/** Asks the endpoints one after the other; gives the first result, or throws the failure that says most. */
async function atEachEndpoint<T>(
  target: ManifestTarget,
  options: RegistryRequestOptions,
  ask: (endpoint: RegistryEndpoint, isLast: boolean) => Promise<T | void>,
): Promise<T> {
  const { endpoints, reference } = target;
  const failures: { readonly error: BuildError; readonly rank: number }[] = [];
  for (const [index, endpoint] of endpoints.entries()) {
    try {
      const result = await repeatDamaged(async () => await ask(endpoint, index === endpoints.length - 1), {
        clock: target.exchange.clock,
        signal: options.signal,
      });
      if (result !== undefined) return result as T;
      failures.push({ error: new BuildError("not_found", `${formatReference(reference)}: not found`), rank: 1 });
    } catch (error) {
      if (!(error instanceof BuildError)) throw error;
      // An answer says more than no answer.
      failures.push({
        error: accessDenied(error),
        rank: error.code === "unavailable" || error.code === "unauthenticated" ? 0 : 2,
      });
    }
  }
  const worst = failures.toSorted((a, b) => b.rank - a.rank)[0];
  throw worst?.error ?? new BuildError("not_found", `${formatReference(reference)}: not found`);
}

/** containerd's words for a registry that refuses a token: repositories that do not exist look the same. */
function accessDenied(error: BuildError): BuildError {
  if (!error.message.endsWith(": authorization failed")) return error;
  const text = `pull access denied, repository does not exist or may require authorization: ${error.message}`;
  return new BuildError("permission_denied", text, { cause: error });
}

interface ManifestRequest {
  readonly endpoint: RegistryEndpoint;
  readonly isLast: boolean;
  readonly path: string;
  readonly method: "HEAD" | "GET";
}

async function requestManifest(
  target: ManifestTarget,
  request: ManifestRequest,
  options: RegistryRequestOptions,
): Promise<HttpAnswer> {
  const scopes = [repositoryScope(target.reference.path, "pull")];
  return await target.exchange.send({ ...request, headers: { accept }, scopes }, options);
}

/** A HEAD has no body that explains: where access is forbidden the same is asked with GET. */
async function describeRefusal(
  target: ManifestTarget,
  request: Omit<ManifestRequest, "method">,
  refused: { readonly answer: HttpAnswer; readonly options: RegistryRequestOptions },
): Promise<BuildError> {
  const error = await unexpectedStatus(refused.answer);
  if (refused.answer.statusCode !== 403) return error;
  const answer = await requestManifest(target, { ...request, method: "GET" }, refused.options);
  const explained = await unexpectedStatus(answer);
  const [, ...details] = explained.message.split("\n");
  return details.length === 0
    ? error
    : new BuildError(error.code, [error.message, ...details].join("\n"), { cause: explained });
}

function objectOf(reference: Reference): string {
  const object = reference.digest ?? reference.tag;
  if (object === undefined)
    throw new BuildError("invalid_argument", `Cannot resolve "${formatReference(reference)}": object required`);
  return object;
}

function descriptorOf(reference: Reference, answer: HttpAnswer): Descriptor | undefined {
  const size = answer.contentLength;
  const stated = answer.header("docker-content-digest");
  if (stated !== undefined && !isDigest(stated)) {
    throw new BuildError("invalid_argument", `"${stated.slice(0, 200)}" in header not a valid digest`);
  }
  const digest = reference.digest ?? stated;
  if (size === undefined || digest === undefined) return undefined;
  if (size > maxManifestBytes) throw tooLarge(reference, size);
  return { mediaType: mediaTypeOf(answer), digest, size };
}

async function readManifest(target: ManifestTarget, answer: HttpAnswer): Promise<Descriptor | undefined> {
  if (answer.statusCode === 404) {
    await answer.discard();
    return undefined;
  }
  if (answer.statusCode >= 300) throw await unexpectedStatus(answer);
  return describe(target.reference, answer, await readBytes(target.reference, answer));
}

async function readBytes(reference: Reference, answer: HttpAnswer): Promise<Buffer> {
  const size = answer.contentLength;
  if (size !== undefined && size > maxManifestBytes) {
    answer.drop();
    throw tooLarge(reference, size);
  }
  return await answer.bytes(maxManifestBytes);
}

function describe(reference: Reference, answer: HttpAnswer, bytes: Buffer): Descriptor {
  const stated = answer.header("docker-content-digest");
  // For a tag only the registry itself tells which bytes are the right ones.
  const expected = reference.digest ?? (stated !== undefined && isDigest(stated) ? stated : undefined);
  return { mediaType: mediaTypeOf(answer), digest: verifyDigest(bytes, expected), size: bytes.length };
}

/** @throws {BuildError} `data_loss`, if the bytes have another digest. */
export function verifyDigest(bytes: Uint8Array, expected: Digest | undefined): Digest {
  if (expected === undefined) return digestOf(bytes);
  const algorithm = expected.slice(0, expected.indexOf(":"));
  const actual = `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}` as Digest;
  if (actual !== expected)
    throw new BuildError("data_loss", `Cannot use content "${expected}": its bytes have the digest ${actual}`);
  return actual;
}

function mediaTypeOf(answer: HttpAnswer): string {
  const type = (answer.header("content-type") ?? "").split(";")[0]?.trim() ?? "";
  // Registries that send schema 1 call it plain text, or by its name.
  if (
    type === "text/plain" ||
    /^application\/vnd\.docker\.distribution\.manifest\.v1\+(?:json|prettyjws)$/.test(type)
  ) {
    throw new BuildError(
      "unimplemented",
      "support Docker Image manifest version 2, schema 1 has been removed. More information at https://docs.docker.com/go/deprecated-image-specs/",
    );
  }
  return type;
}

function tooLarge(reference: Reference, size: number): BuildError {
  return new BuildError(
    "resource_exhausted",
    `rejecting ${size} byte manifest for ${formatReference(reference)}: larger than ${maxManifestBytes} bytes`,
  );
}
