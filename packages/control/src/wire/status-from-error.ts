import { create, fromBinary, toBinary, toJson } from "@bufbuild/protobuf";
import { opspb, rpcpb } from "@buildkit-ts/api";
import { UnsupportedFrontendCapError, UnsupportedSubrequestError } from "@buildkit-ts/dockerfile";
import {
  BuildError,
  type Code,
  codeNumber,
  ExitError,
  SourceError,
  type SourceFile,
  UnknownJobError,
  VertexError,
} from "@buildkit-ts/errdefs";
import { ConnectError, encodeBinaryHeader } from "@connectrpc/connect";
import { stackFrames } from "./stack-frames.ts";
import { versionInfo } from "./version.ts";

/** What a status tells of: a request that was refused, or a build that failed. */
export type FailureKind = "request" | "build";

/**
 * The codes that failed builds have on the wire, as with BuildKit. All others go out as `unknown`: Go's clients print any
 * other code's name before the text, and what was wrong with a Dockerfile is not a fault of the request.
 */
const buildCodes: ReadonlySet<Code> = new Set([
  "canceled",
  "deadline_exceeded",
  "resource_exhausted",
  "unimplemented",
  "internal",
]);

/** A failure as `google.rpc.Status`, with BuildKit's typed details: each an `Any` whose value is JSON. */
export function statusFromError(thrown: unknown, kind: FailureKind = "request"): rpcpb.Status {
  const error = BuildError.from(thrown);
  const message = error.code === "canceled" ? canceledText(error) : textOf(error);
  const isTold = kind === "request" || buildCodes.has(error.code) || error instanceof UnknownJobError;
  return create(rpcpb.StatusSchema, {
    code: codeNumber(isTold ? error.code : "unknown"),
    message,
    details: [...errorChain(thrown).flatMap(detailsOf), ...stackDetails(thrown)],
  });
}

function canceledText(error: BuildError): string {
  return error.message.includes("context canceled") ? error.message : "context canceled";
}

function textOf(error: BuildError): string {
  return error.hint === undefined ? error.message : `${error.message} (${error.hint})`;
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
  const status = statusFromError(thrown, options.kind);
  if (status.details.length > 0) {
    options.trailer?.set("grpc-status-details-bin", encodeBinaryHeader(toBinary(rpcpb.StatusSchema, status)));
  }
  return new ConnectError(status.message, status.code, undefined, undefined, thrown);
}

function errorChain(thrown: unknown): unknown[] {
  const chain: unknown[] = [];
  let current = thrown;
  while (current !== undefined && current !== null && chain.length < 64) {
    chain.push(current);
    current =
      current instanceof SuppressedError ? current.suppressed : current instanceof Error ? current.cause : undefined;
  }
  return chain;
}

/** Where in the daemon it was found, which clients print when asked to debug. */
function stackDetails(thrown: unknown): { typeUrl: string; value: Uint8Array }[] {
  const innermost = errorChain(thrown).findLast((error) => error instanceof Error);
  const frames = stackFrames(innermost?.stack ?? "");
  if (frames.length === 0) return [];
  const { version, revision } = versionInfo;
  return [detail("stack.Stack", { frames, pid: process.pid, version, revision })];
}

function detailsOf(error: unknown): { typeUrl: string; value: Uint8Array }[] {
  if (error instanceof VertexError) return [detail("errdefs.Vertex", { digest: error.vertex })];
  if (error instanceof UnsupportedSubrequestError) return [detail("errdefs.Subrequest", { name: error.subrequest })];
  if (error instanceof UnsupportedFrontendCapError) return [detail("errdefs.FrontendCap", { name: error.capability })];
  if (error instanceof ExitError) return [detail("gatewayapi.ExitMessage", { Code: error.exitCode })];
  if (error instanceof SourceError && error.source !== undefined) {
    const ranges = error.ranges.map(({ start, end }) => ({ start: position(start), end: position(end) }));
    return [detail("errdefs.Source", { info: sourceInfo(error.source), ranges })];
  }
  return [];
}

/** `pb.SourceInfo` as Go's JSON, which has the fields' names of the protocol file. */
function sourceInfo({ filename, data, language, definition }: SourceFile): object {
  return {
    filename,
    data: Buffer.from(data).toString("base64"),
    ...(definition !== undefined && {
      definition: toJson(opspb.DefinitionSchema, fromBinary(opspb.DefinitionSchema, definition), {
        useProtoFieldName: true,
      }),
    }),
    language,
  };
}

function position(p: { readonly line: number; readonly character: number }): object {
  return { line: p.line, ...(p.character !== 0 && { character: p.character }) };
}

function detail(type: string, value: object): { typeUrl: string; value: Uint8Array } {
  return { typeUrl: `github.com/moby/buildkit/${type}+json`, value: Buffer.from(JSON.stringify(value)) };
}
