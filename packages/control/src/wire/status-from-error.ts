import { create, toBinary } from "@bufbuild/protobuf";
import { rpcpb } from "@buildkit-ts/api";
import { BuildError, codeNumber, codeOfFailedBuild, UnknownJobError } from "@buildkit-ts/errdefs";
import { redactCredentialsIn } from "@buildkit-ts/provenance";
import { detailsFromError, errorChain, type RpcErrorDetail, typedDetail } from "@buildkit-ts/session/rpc";
import { ConnectError, encodeBinaryHeader } from "@connectrpc/connect";
import { clipStatus } from "./clip-status.ts";
import { stackFrames } from "./stack-frames.ts";
import { versionInfo } from "./version.ts";

/** What a status tells of: a request that was refused, or a build that failed. */
export type FailureKind = "request" | "build";

/** A failure as `google.rpc.Status`, with BuildKit's typed details: each an `Any` whose value is JSON. */
export function statusFromError(thrown: unknown, kind: FailureKind = "request"): rpcpb.Status {
  const error = BuildError.from(thrown);
  const message = error.code === "canceled" ? canceledText(error) : textOf(error);
  const isTold = kind === "request" || error instanceof UnknownJobError;
  return create(rpcpb.StatusSchema, {
    code: codeNumber(isTold ? error.code : codeOfFailedBuild(error.code)),
    message,
    details: [...detailsFromError(thrown).map(withoutCredentials), ...stackDetails(thrown)],
  });
}

/** Details are JSON, in which the ops of failed steps have their URLs whole. */
function withoutCredentials({ typeUrl, value }: RpcErrorDetail): RpcErrorDetail {
  const text = Buffer.from(value).toString("utf8");
  const redacted = redactCredentialsIn(text);
  return redacted === text ? { typeUrl, value } : { typeUrl, value: Buffer.from(redacted) };
}

function canceledText(error: BuildError): string {
  return error.message.includes("context canceled") ? error.message : "context canceled";
}

function textOf(error: BuildError): string {
  return redactCredentialsIn(error.hint === undefined ? error.message : `${error.message} (${error.hint})`);
}

/** Options of {@linkcode connectErrorFrom}. */
export interface ConnectErrorOptions {
  /** Default: `request`. */
  readonly kind?: FailureKind;
  /** The call's trailers, to which the details are added. */
  readonly trailer?: Headers;
}

/**
 * The failure as Connect's servers send it, and its details in the `trailer`.
 *
 * Connect would prefix the type URLs, which clients compare as they stand, and drops an encoded status from an error's
 * metadata: so the details go past it, into the call's own trailers.
 */
export function connectErrorFrom(thrown: unknown, options: ConnectErrorOptions = {}): ConnectError {
  if (thrown instanceof ConnectError) return thrown;
  const status = clipStatus(statusFromError(thrown, options.kind));
  if (status.details.length > 0) {
    options.trailer?.set("grpc-status-details-bin", encodeBinaryHeader(toBinary(rpcpb.StatusSchema, status)));
  }
  return new ConnectError(status.message, status.code, undefined, undefined, thrown);
}

/** Where in the daemon it was found, which clients print when asked to debug. */
function stackDetails(thrown: unknown): RpcErrorDetail[] {
  const innermost = errorChain(thrown).findLast((error) => error instanceof Error);
  const frames = stackFrames(innermost?.stack ?? "");
  if (frames.length === 0) return [];
  const { version, revision } = versionInfo;
  return [typedDetail("stack.Stack", { frames, pid: process.pid, version, revision })];
}
