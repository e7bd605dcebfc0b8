import type { CompressionOptions } from "@buildkit-ts/cache";
import { BuildError } from "@buildkit-ts/errdefs";
import { parseBool } from "@buildkit-ts/gotext";
import { parseReference, type Reference, withDefaultTag } from "@buildkit-ts/oci";

/** The attributes of one `--export-cache` or `--import-cache`. */
export type CacheAttributes = Readonly<Record<string, string>>;

/** How an exported cache is written down. */
export interface CacheFormat {
  readonly compression: CompressionOptions;
  /** An image manifest whose layers are the cache's blobs; an index that lists them otherwise. */
  readonly isImageManifest: boolean;
}

/** How much is exported, and whether a failure fails the build. */
export interface CacheExportScope {
  readonly mode: "min" | "max";
  readonly ignoreError: boolean;
}

/** @throws {BuildError} `invalid_argument`, for `ignore-error` with a value that is no boolean. */
export function parseExportScope(attributes: CacheAttributes): CacheExportScope {
  // Modes that nobody knows are `min`, as in BuildKit.
  return {
    mode: attributes["mode"] === "max" ? "max" : "min",
    ignoreError: readFlag(attributes, "ignore-error", false),
  };
}

/** @throws {BuildError} `invalid_argument`, naming the attribute. */
export function parseCacheFormat(attributes: CacheAttributes): CacheFormat {
  const ociMediaTypes = readFlag(attributes, "oci-mediatypes", true);
  const isImageManifest = readFlag(attributes, "image-manifest", ociMediaTypes);
  if (isImageManifest && !ociMediaTypes) {
    throw new BuildError(
      "invalid_argument",
      "invalid configuration for remote cache, OCI mediatypes are required for image-manifest cache format",
    );
  }
  return { compression: { ...parseCompression(attributes), ociMediaTypes }, isImageManifest };
}

/** @throws {BuildError} `invalid_argument`, without `ref` or if it is no reference. */
export function parseCacheReference(attributes: CacheAttributes): Reference {
  const ref = attributes["ref"];
  if (ref === undefined || ref === "") throw new BuildError("invalid_argument", "missing ref");
  return withDefaultTag(parseReference(ref));
}

/** @throws {BuildError} `invalid_argument` */
export function parseInsecure(attributes: CacheAttributes): boolean {
  return readFlag(attributes, "registry.insecure", false);
}

const maxLevel = { uncompressed: undefined, gzip: 9, estargz: 9, zstd: 22 };

function parseCompression(attributes: CacheAttributes): Omit<CompressionOptions, "ociMediaTypes"> {
  const type = attributes["compression"] ?? "gzip";
  if (type !== "uncompressed" && type !== "gzip" && type !== "zstd" && type !== "estargz")
    throw new BuildError("invalid_argument", `unsupported compression type ${type.slice(0, 100)}`);
  const level = attributes["compression-level"];
  if (level !== undefined && !/^[+-]?\d{1,9}$/.test(level)) {
    throw new BuildError(
      "invalid_argument",
      `non-integer value ${level.slice(0, 100)} specified for compression-level`,
    );
  }
  const max = maxLevel[type];
  return {
    type,
    ...(level !== undefined && max !== undefined && { level: Math.max(0, Math.min(max, Number(level))) }),
    ...(attributes["force-compression"] !== undefined && { force: readFlag(attributes, "force-compression", true) }),
  };
}

function readFlag(attributes: CacheAttributes, key: string, absent: boolean): boolean {
  const value = attributes[key];
  if (value === undefined || (value === "" && key === "force-compression")) return absent;
  const flag = parseBool(value);
  if (flag !== undefined) return flag;
  const text = JSON.stringify(value.slice(0, 100));
  throw new BuildError(
    "invalid_argument",
    `failed to parse ${key}: strconv.ParseBool: parsing ${text}: invalid syntax`,
  );
}
