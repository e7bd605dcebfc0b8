import { BuildError } from "@buildkit-ts/errdefs";
import { type Descriptor, isIndexType, isManifestType, mediaTypes } from "@buildkit-ts/oci";

const schema1 = new Set([
  "application/vnd.docker.distribution.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v1+prettyjws",
]);

/** @throws {BuildError} `failed_precondition`, for the manifests of Docker's schema 1, which nothing supports any more. */
export function refuseSchema1(descriptor: Descriptor): void {
  if (!schema1.has(descriptor.mediaType)) return;
  throw new BuildError(
    "failed_precondition",
    "support Docker Image manifest version 2, schema 1 has been removed. More information at https://docs.docker.com/go/deprecated-image-specs/",
  );
}

/**
 * The media type of a manifest or index by its content, for places that do not tell.
 *
 * @throws {BuildError} `invalid_argument`, when it is neither, or claims to be the other.
 */
export function detectManifestType(bytes: Uint8Array): string {
  const value = parseObject(bytes);
  const isManifest = value["config"] !== undefined || value["layers"] !== undefined;
  if (isManifest && value["manifests"] !== undefined)
    throw new BuildError("invalid_argument", "invalid ambiguous manifest and manifest list");
  const stated = value["mediaType"];
  if (typeof stated === "string" && (isIndexType(stated) || isManifestType(stated))) {
    if (isManifestType(stated) !== isManifest)
      throw new BuildError("invalid_argument", "mediaType in manifest does not match manifest contents");
    return stated;
  }
  return isManifest ? mediaTypes.dockerManifest : mediaTypes.dockerManifestList;
}

/** @throws {BuildError} `invalid_argument`, when the bytes are no JSON object. */
export function parseObject(bytes: Uint8Array): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch (error) {
    throw new BuildError("invalid_argument", "Cannot read manifest: not JSON", { cause: error });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new BuildError("invalid_argument", "Cannot read manifest: not a JSON object");
  return value as Record<string, unknown>;
}
