import { BuildError } from "@buildkit-ts/errdefs";
import type { StoreAttributes, StoreEnvironment } from "../object-store.ts";
import { attributeOr, indexNames } from "../store-attributes.ts";

/** Where in Azure Blob Storage a cache is, and how it is reached. */
export interface AzureConfig {
  readonly accountUrl: string;
  readonly accountName: string;
  readonly container: string;
  readonly prefix: string;
  readonly blobsPrefix: string;
  readonly manifestsPrefix: string;
  readonly names: readonly [string, ...string[]];
  /** The account's key; empty for what the machine has: variables, managed identities. */
  readonly secretAccessKey: string;
}

/** @throws {BuildError} `invalid_argument`, naming the attribute. */
export function parseAzureConfig(attributes: StoreAttributes, environment: StoreEnvironment): AzureConfig {
  const variable = (name: string) => ({ environment, variable: `BUILDKIT_AZURE_STORAGE_${name}` });
  const accountUrl = attributeOr(attributes, "account_url", variable("ACCOUNT_URL"));
  if (accountUrl === undefined)
    throw invalid("either ${BUILDKIT_AZURE_STORAGE_ACCOUNT_URL} or account_url attribute is required for azblob cache");
  const url = URL.parse(accountUrl);
  if (url === null || !/^https?:$/.test(url.protocol))
    throw invalid("azure storage account url provided is not a valid url");
  const accountName =
    attributeOr(attributes, "account_name", variable("ACCOUNT_NAME")) ?? url.hostname.split(".")[0] ?? "";
  if (accountName === "") {
    throw invalid(
      "unable to retrieve account name from account url or ${BUILDKIT_AZURE_STORAGE_ACCOUNT_NAME} or account_name attribute for azblob cache",
    );
  }
  return {
    accountUrl,
    accountName,
    container: attributeOr(attributes, "container", variable("CONTAINER")) ?? "buildkit-cache",
    prefix: attributeOr(attributes, "prefix", variable("PREFIX")) ?? "",
    blobsPrefix: attributes["blobs_prefix"] ?? "blobs",
    manifestsPrefix: attributes["manifests_prefix"] ?? "manifests",
    names: indexNames(attributes),
    secretAccessKey: attributes["secret_access_key"] ?? "",
  };
}

function invalid(state: string): BuildError {
  return new BuildError("invalid_argument", `failed to create azblob config: ${state}`);
}
