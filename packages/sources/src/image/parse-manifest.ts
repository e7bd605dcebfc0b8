import { BuildError } from "@buildkit-ts/errdefs";
import { type Descriptor, isDigest, type Platform } from "@buildkit-ts/oci";
import { parseObject } from "./manifest-type.ts";

const maxChildren = 10_000;

/** The manifests that an index lists. @throws {BuildError} `invalid_argument`, for bytes that are no index. */
export function parseIndex(bytes: Uint8Array): Descriptor[] {
  return parseDescriptors(parseObject(bytes)["manifests"], "manifests");
}

/** Config and layers of a manifest. @throws {BuildError} `invalid_argument`, for bytes that are no manifest. */
export function parseManifest(bytes: Uint8Array): { readonly config: Descriptor; readonly layers: Descriptor[] } {
  const manifest = parseObject(bytes);
  return { config: parseDescriptor(manifest["config"]), layers: parseDescriptors(manifest["layers"], "layers") };
}

function parseDescriptors(value: unknown, what: string): Descriptor[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value) || value.length > maxChildren)
    throw new BuildError("invalid_argument", `Cannot read manifest: "${what}" is no list of descriptors`);
  return value.map(parseDescriptor);
}

function parseDescriptor(value: unknown): Descriptor {
  const fields = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
  const { mediaType, digest, size, urls, platform, artifactType } = fields;
  const annotations = parseAnnotations(fields["annotations"]);
  const isValid =
    typeof mediaType === "string" &&
    typeof digest === "string" &&
    isDigest(digest) &&
    typeof size === "number" &&
    Number.isSafeInteger(size) &&
    size >= 0;
  if (!isValid) throw new BuildError("invalid_argument", "Cannot read manifest: invalid descriptor");
  return {
    mediaType,
    digest,
    size,
    ...(Array.isArray(urls) && urls.length > 0 && { urls: urls.map(String) }),
    ...(annotations !== undefined && { annotations }),
    ...(isPlatform(platform) && { platform }),
    ...(typeof artifactType === "string" && { artifactType }),
  };
}

function parseAnnotations(value: unknown): Record<string, string> | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  return Object.fromEntries(
    Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  );
}

function isPlatform(value: unknown): value is Platform {
  const fields = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
  return typeof fields["os"] === "string" && typeof fields["architecture"] === "string";
}
