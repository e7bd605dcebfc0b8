export type { BuildExport, BuildRequest, BuildResponse, CacheEntry } from "./build-request.ts";
export { BuildkitClient, type ClientCallOptions } from "./buildkit-client.ts";
export type { ClientTls } from "./client-tls.ts";
export type { ConnectOptions } from "./connect.ts";
export { type DialCommand, dialCommand } from "./connection-helper.ts";
export type { BuildFunction, BuildFunctionOptions } from "./run-build.ts";
export { type FailureDetails, failureDetails, typedError } from "./typed-errors.ts";
