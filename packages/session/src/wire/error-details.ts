import { fromBinary, toJson } from "@bufbuild/protobuf";
import { opspb, policypb } from "@buildkit-ts/api";
import {
  ExitError,
  ForeignDetailError,
  FrontendError,
  IncompleteMaterialsError,
  PolicyDeniedError,
  SolveError,
  type SolveFailure,
  SourceError,
  type SourceFile,
  UnsupportedCompatibilityFeatureError,
  UnsupportedFrontendCapError,
  UnsupportedSubrequestError,
  VertexError,
} from "@buildkit-ts/errdefs";
import { RpcError, type RpcErrorDetail } from "./rpc-error.ts";

const maxDepth = 64;

/** An error and its causes, the outermost first; of a failed disposal, the failure of the body. */
export function errorChain(thrown: unknown): unknown[] {
  const chain: unknown[] = [];
  let current = thrown;
  while (current !== undefined && current !== null && chain.length < maxDepth) {
    chain.push(current);
    current =
      current instanceof SuppressedError ? current.suppressed : current instanceof Error ? current.cause : undefined;
  }
  return chain;
}

/** BuildKit's typed details of an error and its causes, each an `Any` whose value is JSON; the outermost first. */
export function detailsFromError(thrown: unknown): RpcErrorDetail[] {
  const details: RpcErrorDetail[] = [];
  for (const error of errorChain(thrown)) {
    if (error instanceof RpcError && error.details.length > 0) {
      // A remote failure has the details of its causes already.
      return [...details, ...error.details];
    }
    details.push(...detailsOf(error));
  }
  return details;
}

/** One typed detail by the name of its Go type, such as `errdefs.Vertex`. */
export function typedDetail(type: string, value: object): RpcErrorDetail {
  return { typeUrl: `github.com/moby/buildkit/${type}+json`, value: Buffer.from(JSON.stringify(value)) };
}

function detailsOf(error: unknown): RpcErrorDetail[] {
  if (error instanceof ForeignDetailError) return [{ typeUrl: error.typeUrl, value: error.value }];
  if (error instanceof VertexError) return [typedDetail("errdefs.Vertex", { digest: error.vertex })];
  if (error instanceof UnsupportedSubrequestError)
    return [typedDetail("errdefs.Subrequest", { name: error.subrequest })];
  if (error instanceof UnsupportedFrontendCapError)
    return [typedDetail("errdefs.FrontendCap", { name: error.capability })];
  if (error instanceof UnsupportedCompatibilityFeatureError)
    return [typedDetail("errdefs.CompatibilityFeature", { version: error.version, feature: error.feature })];
  if (error instanceof SolveError) return [typedDetail("errdefs.Solve", solveDetail(error.failure))];
  if (error instanceof FrontendError)
    return [
      typedDetail("errdefs.Frontend", { name: error.frontend, ...(error.source !== "" && { source: error.source }) }),
    ];
  if (error instanceof IncompleteMaterialsError)
    return [
      typedDetail("errdefs.ProvenanceMaterialsIncomplete", {
        incomplete: error.incomplete.map(({ request, ...material }) => ({ ...request, ...material })),
      }),
    ];
  if (error instanceof ExitError) return [typedDetail("gatewayapi.ExitMessage", { Code: error.exitCode })];
  if (error instanceof PolicyDeniedError && error.denyMessages.length > 0) {
    const denyMessages = error.denyMessages.map((message) => ({ message }));
    return [typedDetail("policysession.DecisionResponse", { action: policypb.PolicyAction.DENY, denyMessages })];
  }
  if (error instanceof SourceError && error.source !== undefined) {
    const ranges = error.ranges.map(({ start, end }) => ({ start: position(start), end: position(end) }));
    return [typedDetail("errdefs.Source", { info: sourceInfo(error.source), ranges })];
  }
  return [];
}

/** A message of details travels in headers, which have limits: an op that holds whole files is left out. */
const maxOpBytes = 64 << 10;

/** `errdefs.Solve` in protobuf's JSON. */
function solveDetail({ op, description, inputs, mounts, subject }: SolveFailure): object {
  return {
    ...(inputs.length > 0 && { inputIDs: inputs }),
    ...(mounts.length > 0 && { mountIDs: mounts }),
    ...(op !== undefined && op.length <= maxOpBytes && { op: toJson(opspb.OpSchema, fromBinary(opspb.OpSchema, op)) }),
    ...(subject !== undefined && { [subject.kind]: { index: String(subject.index) } }),
    ...(Object.keys(description).length > 0 && { description }),
  };
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
