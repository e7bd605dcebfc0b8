import type { Readable } from "node:stream";
import { BuildError } from "@buildkit-ts/errdefs";
import type { Reference } from "@buildkit-ts/oci";
import type { HttpAnswer } from "./http-sender.ts";
import type { RegistryEndpoint } from "./registry-config.ts";
import type { RegistryExchange, RegistryRequestOptions } from "./registry-exchange.ts";
import { repositoryScope } from "./scopes.ts";

/** Where a push goes. */
export interface PushTarget {
  readonly exchange: RegistryExchange;
  readonly endpoint: RegistryEndpoint;
  readonly reference: Reference;
}

/** A request of a push. */
export interface PushRequest {
  readonly method: "GET" | "HEAD" | "PATCH" | "POST" | "PUT";
  /** Below the repository, or a whole URL. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly scopes?: readonly string[];
  readonly body?: () => Uint8Array | Readable;
  /** Not to be sent twice to the same place. */
  readonly isUpload?: boolean;
}

/** Sends it with the scopes that pushing needs; statuses are the caller's to judge. */
export async function sendPush(
  { exchange, endpoint, reference }: PushTarget,
  request: PushRequest,
  options: RegistryRequestOptions,
): Promise<HttpAnswer> {
  const path = /^https?:/.test(request.path) ? request.path : `/${reference.path}/${request.path}`;
  const { isUpload = false, ...rest } = request;
  const scopes = [repositoryScope(reference.path, "push"), ...(request.scopes ?? [])];
  try {
    return await exchange.send({ ...rest, endpoint, path, scopes, isLast: !isUpload }, options);
  } catch (error) {
    if (!(error instanceof BuildError) || !error.message.endsWith(": authorization failed")) throw error;
    const text = `push access denied, repository does not exist or may require authorization: ${error.message}`;
    throw new BuildError("permission_denied", text, { cause: error });
  }
}
