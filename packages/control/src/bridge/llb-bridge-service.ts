import { create } from "@bufbuild/protobuf";
import { gatewaypb } from "@buildkit-ts/api";
import { BuildError } from "@buildkit-ts/errdefs";
import { platformFromProto } from "@buildkit-ts/llb";
import type { Digest } from "@buildkit-ts/oci";
import type { VertexWarning } from "@buildkit-ts/progress";
import { attestationsFromProto, attestationsToProto } from "@buildkit-ts/provenance";
import { withCallTrace } from "@buildkit-ts/session";
import { traceOf } from "@buildkit-ts/worker";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { readCallTrace } from "../trace/trace-context.ts";
import { frontendCaps, llbCaps } from "../wire/capabilities.ts";
import { errorFromStatus } from "../wire/error-from-status.ts";
import { buildCall, unary } from "../wire/handlers.ts";
import { readDirectory, readFile, refReader, statFile } from "../wire/ref-files.ts";
import { workerRecord } from "../wire/worker-record.ts";
import type { BridgeRef, BridgeResult } from "./bridge-ref.ts";
import type { BridgeRegistry } from "./bridge-registry.ts";
import { containerCalls } from "./container-calls.ts";
import type { FrontendRun } from "./frontend-run.ts";
import { layoutRequest } from "./layout-request.ts";

/** What old frontends send for OCI layouts; 0 is for registries. */
const layoutResolver = 1;

/** Names the build a call on the public server belongs to. */
const buildIdHeader = "buildkit-controlapi-buildid";

type BridgeCall<I, O> = (run: FrontendRun, request: I, options: { readonly signal: AbortSignal }) => Promise<O>;

/** Finds the frontend whose call it is. */
export type FrontendRoute = (context: HandlerContext) => Promise<FrontendRun>;

/** The route on the daemon's public server: frontends that run in clients, by their builds' ids. */
export function routeByBuildId(registry: BridgeRegistry): FrontendRoute {
  return async (context) => {
    const ids = (context.requestHeader.get(buildIdHeader) ?? "").split(",").map((id) => id.trim());
    const [id = ""] = ids;
    if (id === "" || ids.length > 1) throw new BuildError("unknown", "no buildid found in context");
    return await registry.get(id, { signal: context.signal });
  };
}

/** `LLBBridge`, the whole of what a frontend may ask of its build. */
export function llbBridgeService(route: FrontendRoute): ServiceImpl<typeof gatewaypb.LLBBridge> {
  const call = <I, O>(handler: BridgeCall<I, O>): ReturnType<typeof buildCall<I, O>> =>
    buildCall(async (request, context) => {
      const run = await route(context);
      // Whoever asks is what the client is asked by, where that is known.
      const trace =
        readCallTrace(context.requestHeader) ?? traceOf({ values: (key) => [run.bridge.job.value(key)] })?.call;
      const work = async (): Promise<O> => await handler(run, request, { signal: context.signal });
      return trace === undefined ? await work() : await withCallTrace(trace, work);
    });
  return {
    ping: unary(async (_request, context) => ping(await route(context))),
    solve: call(solve),
    evaluate: call(async ({ bridge }, request, options) => {
      await bridge.ref(request.Ref).result(options);
      return create(gatewaypb.EvaluateResponseSchema);
    }),
    readFile: call(async ({ bridge }, request, options) => {
      const range = request.Range;
      const Data = await readFile(refReader(bridge.ref(request.Ref)), request.FilePath, {
        ...options,
        ...(range !== undefined && { offset: Number(range.Offset), length: Number(range.Length) }),
      });
      return create(gatewaypb.ReadFileResponseSchema, { Data });
    }),
    readDir: call(async ({ bridge }, request, options) => {
      const wanted = { ...options, includePattern: request.IncludePattern };
      const entries = await readDirectory(refReader(bridge.ref(request.Ref)), request.DirPath, wanted);
      return create(gatewaypb.ReadDirResponseSchema, { entries });
    }),
    statFile: call(async ({ bridge }, request, options) => {
      const stat = await statFile(refReader(bridge.ref(request.Ref)), request.Path, options);
      return create(gatewaypb.StatFileResponseSchema, { stat });
    }),
    resolveImageConfig: call(async ({ bridge }, request, options) => {
      const image = await bridge.resolveImage(
        request.Ref,
        {
          platform: platformFromProto(request.Platform),
          resolveMode: request.ResolveMode,
          logName: request.LogName,
          sourcePolicies: request.SourcePolicies,
          ...(request.ResolverType === layoutResolver &&
            layoutRequest({ sessionId: request.SessionID, storeId: request.StoreID })),
        },
        options,
      );
      return create(gatewaypb.ResolveImageConfigResponseSchema, {
        Digest: image.digest,
        Config: image.config,
        Ref: image.ref,
      });
    }),
    resolveSourceMeta: call(async ({ bridge }, request, options) => await bridge.sources.resolve(request, options)),
    inputs: unary(async (_request, context) => {
      const { inputs } = await route(context);
      return create(gatewaypb.InputsResponseSchema, { Definitions: { ...inputs } });
    }),
    warn: unary(async (request, context) => {
      const run = await route(context);
      run.warn(request.digest as Digest, warningFromProto(request));
      return create(gatewaypb.WarnResponseSchema);
    }),
    return: unary(async (request, context) => {
      const registered = await route(context);
      if (request.error !== undefined) registered.return(errorFromStatus(request.error));
      else if (request.result !== undefined) registered.return(resultFromProto(registered, request.result));
      else throw new BuildError("invalid_argument", "return must have a result or an error");
      return create(gatewaypb.ReturnResponseSchema);
    }),
    ...containerCalls(route),
  };
}

function ping(registered: FrontendRun): gatewaypb.PongResponse {
  return create(gatewaypb.PongResponseSchema, {
    FrontendAPICaps: frontendCaps(),
    LLBCaps: llbCaps(),
    Workers: [workerRecord(registered.bridge.engine.worker)],
  });
}

async function solve(
  { bridge }: FrontendRun,
  request: gatewaypb.SolveRequest,
  options: { readonly signal: AbortSignal },
): Promise<gatewaypb.SolveResponse> {
  const result = await bridge.solve(
    {
      definition: request.Definition,
      frontend: request.Frontend,
      options: request.FrontendOpt,
      inputs: request.FrontendInputs,
      cacheImports: request.CacheImports.map(({ Type, Attrs }) => ({ type: Type, attributes: Attrs })),
      evaluate: request.Evaluate,
      sourcePolicies: request.SourcePolicies,
    },
    options,
  );
  if (result.refs !== undefined && !request.allowResultReturn) {
    throw new BuildError("invalid_argument", "solve did not return default result");
  }
  return create(gatewaypb.SolveResponseSchema, {
    result: resultToProto(result, request.allowResultArrayRef),
    ...(!request.allowResultReturn && { ref: result.ref?.id ?? "" }),
  });
}

function refMessage(ref: BridgeRef | undefined): gatewaypb.Ref {
  return create(gatewaypb.RefSchema, ref === undefined ? {} : { id: ref.id, def: ref.definition });
}

function resultToProto(result: BridgeResult, asArray: boolean): gatewaypb.Result {
  const metadata = Object.fromEntries(result.metadata);
  const attestations = attestationsToProto(result.attestations, (ref) => ({ id: ref.id, def: ref.definition }));
  const message = create(gatewaypb.ResultSchema, { metadata, attestations });
  if (result.refs === undefined) {
    message.result = asArray
      ? { case: "ref", value: refMessage(result.ref) }
      : { case: "refDeprecated", value: result.ref?.id ?? "" };
    return message;
  }
  const entries = [...result.refs];
  message.result = asArray
    ? {
        case: "refs",
        value: create(gatewaypb.RefMapSchema, {
          refs: Object.fromEntries(entries.map(([key, ref]) => [key, refMessage(ref)])),
        }),
      }
    : {
        case: "refsDeprecated",
        value: create(gatewaypb.RefMapDeprecatedSchema, {
          refs: Object.fromEntries(entries.map(([key, ref]) => [key, ref?.id ?? ""])),
        }),
      };
  return message;
}

function resultFromProto({ bridge }: FrontendRun, result: gatewaypb.Result): BridgeResult {
  const find = (id: string): BridgeRef | undefined => (id === "" ? undefined : bridge.ref(id));
  const metadata = new Map(Object.entries(result.metadata));
  const attestations = attestationsFromProto(result.attestations, (ref) => find(ref.id));
  const value = result.result;
  switch (value.case) {
    case "ref":
      return { ref: find(value.value.id), refs: undefined, metadata, attestations };
    case "refDeprecated":
      return { ref: find(value.value), refs: undefined, metadata, attestations };
    case "refs": {
      const refs = new Map(Object.entries(value.value.refs).map(([key, ref]) => [key, find(ref.id)]));
      return { ref: undefined, refs, metadata, attestations };
    }
    case "refsDeprecated": {
      const refs = new Map(Object.entries(value.value.refs).map(([key, id]) => [key, find(id)]));
      return { ref: undefined, refs, metadata, attestations };
    }
    case undefined:
      return { ref: undefined, refs: undefined, metadata, attestations };
    default:
      value satisfies never;
      throw new BuildError("invalid_argument", "Cannot read result: unknown form");
  }
}

function warningFromProto(request: gatewaypb.WarnRequest): VertexWarning {
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("utf8");
  const { info } = request;
  return {
    level: Number(request.level),
    short: text(request.short),
    detail: request.detail.map(text),
    url: request.url,
    ...(info !== undefined && { source: { filename: info.filename, language: info.language, data: info.data } }),
    ranges: request.ranges.map(({ start, end }) => ({
      start: { line: start?.line ?? 0, character: start?.character ?? 0 },
      end: { line: end?.line ?? 0, character: end?.character ?? 0 },
    })),
  };
}
