import { BuildError } from "@buildkit-ts/errdefs";
import type { StoreAttributes, StoreEnvironment } from "../object-store.ts";
import { attributeOr, durationMs, indexNames, isTrue, positiveInteger } from "../store-attributes.ts";

/** Where in S3 a cache is, and how it is reached. */
export interface S3Config {
  readonly bucket: string;
  readonly region: string;
  /** Put before the names of blobs, as it is. */
  readonly blobsPrefix: string;
  /** Put before the names of indexes, as it is. */
  readonly manifestsPrefix: string;
  readonly names: readonly [string, ...string[]];
  /** Blobs that are older are made new when they are needed again. */
  readonly touchRefreshMs: number;
  readonly parallelism: number;
  /** Another server than Amazon's. */
  readonly endpointUrl: string;
  readonly usePathStyle: boolean;
  /** Undefined for what the machine has: variables, profiles, roles. */
  readonly credentials: S3Credentials | undefined;
  readonly retryMode: "standard" | "adaptive" | undefined;
  readonly maxAttempts: number | undefined;
}

/** A key of one account. */
export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

const dayMs = 24 * 3_600_000;

/** @throws {BuildError} `invalid_argument`, naming the attribute. */
export function parseS3Config(attributes: StoreAttributes, environment: StoreEnvironment): S3Config {
  const prefix = attributes["prefix"] ?? "";
  return {
    bucket: required(attributes, "bucket", { environment, variable: "AWS_BUCKET" }),
    region: required(attributes, "region", { environment, variable: "AWS_REGION" }),
    blobsPrefix: prefix + (attributes["blobs_prefix"] ?? "blobs/"),
    manifestsPrefix: prefix + (attributes["manifests_prefix"] ?? "manifests/"),
    names: indexNames(attributes),
    touchRefreshMs: durationMs(attributes["touch_refresh"] ?? "") ?? dayMs,
    parallelism: positiveInteger(attributes, "upload_parallelism") ?? 4,
    endpointUrl: attributes["endpoint_url"] ?? "",
    usePathStyle: isTrue(attributes["use_path_style"]),
    credentials: parseCredentials(attributes),
    retryMode: parseRetryMode(attributes["retry_mode"]),
    maxAttempts: positiveInteger(attributes, "retry_max_attempts"),
  };
}

function required(
  attributes: StoreAttributes,
  name: string,
  fallback: { readonly environment: StoreEnvironment; readonly variable: string },
): string {
  const value = attributeOr(attributes, name, fallback);
  if (value === undefined)
    throw new BuildError("invalid_argument", `${name} ($${fallback.variable}) not set for s3 cache`);
  return value;
}

function parseCredentials(attributes: StoreAttributes): S3Credentials | undefined {
  const {
    access_key_id,
    secret_access_key,
    session_token = "",
  } = attributes as Readonly<Partial<Record<"access_key_id" | "secret_access_key" | "session_token", string>>>;
  if (access_key_id === undefined || access_key_id === "") return undefined;
  if (secret_access_key === undefined || secret_access_key === "") return undefined;
  return {
    accessKeyId: access_key_id,
    secretAccessKey: secret_access_key,
    ...(session_token !== "" && { sessionToken: session_token }),
  };
}

function parseRetryMode(value: string | undefined): S3Config["retryMode"] {
  if (value === undefined || value === "standard" || value === "adaptive") return value;
  throw new BuildError("invalid_argument", 'retry_mode must be "standard" or "adaptive"');
}
