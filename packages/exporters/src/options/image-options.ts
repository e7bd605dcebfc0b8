import type { CompressionOptions } from "@buildkit-ts/cache";
import { BuildError, UnsupportedCompatibilityFeatureError } from "@buildkit-ts/errdefs";
import type { Compression } from "@buildkit-ts/oci";
import { type Annotation, parseAnnotation } from "./annotations.ts";
import { type Epoch, parseBoolAttribute, parseEpoch, parseFlag } from "./attributes.ts";

/** What the attributes common to all image outputs say. */
export interface ImageOptions {
  /** `name`: a comma list of references, `*` for the result's `image.name`, or empty. */
  readonly name: string;
  readonly compression: CompressionOptions;
  readonly annotations: readonly Annotation[];
  readonly epoch: Epoch | undefined;
  readonly rewriteTimestamp: boolean;
  /** Whether media types are OCI's; Docker's otherwise. */
  readonly ociMediaTypes: boolean;
  /** Whether attestations are OCI artifacts that name their image; else they look like images of no platform. */
  readonly ociArtifact: boolean;
  /** Whether attestations that are only for images make a single image one of an index. */
  readonly attestationInline: boolean;
  /** Whether layers that somebody else distributes stay so: named by their URLs, and not pushed. */
  readonly preferNonDistributable: boolean;
  /** Which of the media types the client left to the daemon. */
  readonly isDefault: { readonly ociMediaTypes: boolean; readonly ociArtifact: boolean };
  /** Attributes that are not for the image itself; those that nobody knows become metadata of the result. */
  readonly rest: ReadonlyMap<string, string>;
}

/**
 * Reads the attributes of an image output. Media types are OCI's unless `oci-mediatypes=false`.
 *
 * @throws {BuildError} `invalid_argument`, naming the attribute; `unimplemented`, for compressions that nothing here makes.
 */
export function parseImageOptions(
  attributes: Readonly<Record<string, string>>,
  defaults: { readonly attestationInline: boolean },
): ImageOptions {
  const bool = (key: string, absent: boolean): boolean => {
    const value = attributes[key];
    return value === undefined ? absent : parseBoolAttribute(key, value);
  };
  const epoch = attributes["source-date-epoch"];
  const ociMediaTypes = bool("oci-mediatypes", true);
  const compression = parseCompression(attributes, ociMediaTypes);
  if (!ociMediaTypes && bool("oci-artifact", false)) throw conflict("oci-artifact=true", "oci-mediatypes=false");
  const annotations = new Map(Object.entries(attributes).map(([key, value]) => [key, parseAnnotation(key, value)]));
  return {
    name: attributes["name"] ?? "",
    compression,
    annotations: [...annotations.values()].filter((annotation) => annotation !== undefined),
    epoch: epoch === undefined ? undefined : parseEpoch(epoch, "invalid source-date-epoch"),
    rewriteTimestamp: bool("rewrite-timestamp", false),
    ociMediaTypes,
    ociArtifact: bool("oci-artifact", ociMediaTypes),
    isDefault: {
      ociMediaTypes: attributes["oci-mediatypes"] === undefined,
      ociArtifact: attributes["oci-artifact"] === undefined,
    },
    attestationInline: bool("attestation-inline", defaults.attestationInline),
    preferNonDistributable: bool("prefer-nondist-layers", false),
    rest: new Map(Object.entries(attributes).filter(([key]) => !imageKeys.has(key) && !annotations.get(key))),
  };
}

/** Since when images have OCI's media types, and attestations are artifacts, unless the client says otherwise. */
const ociVersion = 30;

/** Since when the bytes of zstd layers are promised to stay as they are. */
const zstdVersion = 20;

/** What decides about the defaults of an image. */
export interface CompatibleResult {
  readonly compatibilityVersion: number;
  readonly isAttested: boolean;
  /** The kind of output, as clients name it. */
  readonly exporter: string;
}

/**
 * The options with the defaults of an older compatibility version: Docker's media types, but where attestations need
 * OCI's, and attestations that look like images.
 *
 * @throws {UnsupportedCompatibilityFeatureError} for what that version did not have.
 */
export function withCompatibleTypes(options: ImageOptions, result: CompatibleResult): ImageOptions {
  const { compatibilityVersion, exporter } = result;
  const { type } = options.compression;
  if (compatibilityVersion < zstdVersion && type === "zstd")
    throw new UnsupportedCompatibilityFeatureError(compatibilityVersion, `${exporter} exporter compression=${type}`);
  if (compatibilityVersion >= ociVersion) return options;
  const { isDefault } = options;
  const ociMediaTypes = isDefault.ociMediaTypes ? result.isAttested : options.ociMediaTypes;
  return {
    ...options,
    ociMediaTypes,
    ociArtifact: isDefault.ociArtifact ? false : options.ociArtifact,
    compression: { ...options.compression, ociMediaTypes },
  };
}

const imageKeys: ReadonlySet<string> = new Set([
  "attestation-inline",
  "compression",
  "compression-level",
  "force-compression",
  "name",
  "oci-artifact",
  "oci-mediatypes",
  "prefer-nondist-layers",
  "rewrite-timestamp",
  "source-date-epoch",
]);

function conflict(one: string, other: string): BuildError {
  return new BuildError("invalid_argument", `exporter option "${one}" conflicts with "${other}"`);
}

const maxLevel: Readonly<Partial<Record<Compression, number>>> = { gzip: 9, estargz: 9, zstd: 22 };

function parseCompression(attributes: Readonly<Record<string, string>>, ociMediaTypes: boolean): CompressionOptions {
  const type = attributes["compression"] ?? "gzip";
  if (type !== "uncompressed" && type !== "gzip" && type !== "zstd" && type !== "estargz")
    throw new BuildError("invalid_argument", `unsupported compression type ${type.slice(0, 100)}`);
  if (type === "estargz" && !ociMediaTypes) throw conflict("compression=estargz", "oci-mediatypes=false");
  const force = attributes["force-compression"];
  const level = attributes["compression-level"];
  if (level !== undefined && !/^[+-]?\d{1,9}$/.test(level))
    throw new BuildError(
      "invalid_argument",
      `non-integer value ${level.slice(0, 100)} specified for compression-level`,
    );
  const max = maxLevel[type];
  return {
    type,
    ociMediaTypes,
    ...(level !== undefined && max !== undefined && { level: Math.max(0, Math.min(max, Number(level))) }),
    ...(force !== undefined && { force: parseFlag("force-compression", force) }),
  };
}
