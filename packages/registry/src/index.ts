export { blobRepositories, blobSource, isBlobSource } from "./blob-sources.ts";
export type { CheckedEndpoint, CheckedStep } from "./check-endpoint.ts";
export {
  anonymousCredentials,
  type CredentialSource,
  type Credentials,
  type Token,
  type TokenRequest,
} from "./credential-source.ts";
export { HttpClient, type PlainRequest } from "./http-client.ts";
export type { HttpAnswer } from "./http-sender.ts";
export type { FetchedManifest } from "./manifests.ts";
export type { BlobToPush, PushOutcome } from "./push.ts";
export { RegistryClient, type RegistryClientOptions } from "./registry-client.ts";
export type { RegistryConfig, RegistryHostConfig } from "./registry-config.ts";
export { RegistryStatusError, redactUrl } from "./registry-error.ts";
export type { RegistryRequestOptions } from "./registry-exchange.ts";
export { isConnectionFailure } from "./retry-policy.ts";
