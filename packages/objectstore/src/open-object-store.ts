import type { ErrorReporter } from "@buildkit-ts/async";
import { parseAzureConfig } from "./azure/azure-config.ts";
import { AzureObjectStore } from "./azure/azure-object-store.ts";
import { parseGithubConfig } from "./github/github-config.ts";
import { GithubObjectStore } from "./github/github-object-store.ts";
import type { ObjectStore, StoreAttributes, StoreEnvironment } from "./object-store.ts";
import { parseS3Config } from "./s3/s3-config.ts";
import { S3ObjectStore } from "./s3/s3-object-store.ts";

/** The kinds of stores, as clients name them. */
export type StoreType = "s3" | "azblob" | "gha";

/** Whether this is the name of a kind of stores. */
export function isStoreType(type: string): type is StoreType {
  return type === "s3" || type === "azblob" || type === "gha";
}

/**
 * A store by its attributes. Nothing is loaded or asked before it is used, and there is nothing to dispose:
 * connections end by themselves.
 *
 * @throws {BuildError} `invalid_argument`, for attributes that cannot be used; `unauthenticated`, for an expired token.
 */
export function openObjectStore(
  type: StoreType,
  attributes: StoreAttributes,
  options: { readonly environment: StoreEnvironment; readonly reporter: ErrorReporter },
): ObjectStore {
  switch (type) {
    case "s3":
      return new S3ObjectStore(parseS3Config(attributes, options.environment));
    case "azblob":
      return new AzureObjectStore(parseAzureConfig(attributes, options.environment));
    case "gha":
      return new GithubObjectStore(parseGithubConfig(attributes), options);
    default:
      return type satisfies never;
  }
}
