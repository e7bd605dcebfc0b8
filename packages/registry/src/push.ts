import { BuildError } from "@buildkit-ts/errdefs";
import type { Descriptor } from "@buildkit-ts/oci";
import { type BlobToUpload, uploadBlob } from "./blob-upload.ts";
import { maxManifestBytes, verifyDigest } from "./manifests.ts";
import { type PushTarget, sendPush } from "./push-request.ts";
import { type RegistryRequestOptions, unexpectedStatus } from "./registry-exchange.ts";
import { repositoryScope } from "./scopes.ts";

/** A blob to bring to a repository. */
export interface BlobToPush extends BlobToUpload {
  /** Repositories of the same registry that may have the blob, the most likely first. */
  readonly mountFrom?: readonly string[];
}

/** How a blob came to be in the repository. */
export type PushOutcome = "existed" | "mounted" | "uploaded";

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
  await uploadBlob(target, blob, options);
  return "uploaded";
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
  const answer = await sendPush(
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

async function hasContent(
  target: PushTarget,
  content: { readonly path: string; readonly mediaType?: string; readonly digest?: string },
  options: RegistryRequestOptions,
): Promise<boolean> {
  const accept = content.mediaType === undefined ? "*/*" : `${content.mediaType}, */*`;
  const answer = await sendPush(target, { method: "HEAD", path: content.path, headers: { accept } }, options);
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
    const answer = await sendPush(
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
