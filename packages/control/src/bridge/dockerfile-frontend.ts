import { create } from "@bufbuild/protobuf";
import { gatewaypb, type opspb } from "@buildkit-ts/api";
import {
  type FrontendClient,
  type FrontendRef,
  type FrontendResult,
  type ResolvedSource,
  runDockerfileFrontend,
} from "@buildkit-ts/dockerfile";
import { BuildError, NotAnImageError } from "@buildkit-ts/errdefs";
import { type Definition, definitionFromProto, definitionToProto } from "@buildkit-ts/llb";
import { mapRefs } from "@buildkit-ts/provenance";
import { llbCapabilitySet } from "../wire/capabilities.ts";
import { readDirectory, readFile, refReader } from "../wire/ref-files.ts";
import type { BridgeRef, BridgeResult } from "./bridge-ref.ts";
import type { BridgeSolveRequest, BuildBridge } from "./build-bridge.ts";
import { layoutRequest } from "./layout-request.ts";

/** `dockerfile.v0` inside the daemon: the frontend's questions go straight to the build's bridge. */
export async function dockerfileFrontend(
  bridge: BuildBridge,
  request: BridgeSolveRequest,
  options: { readonly signal: AbortSignal },
): Promise<BridgeResult> {
  const refs = new WeakMap<FrontendRef, BridgeRef>();
  const result = await runDockerfileFrontend(createFrontendClient(bridge, request, refs), options);
  const find = (ref: FrontendRef | undefined): BridgeRef | undefined => {
    if (ref === undefined) return undefined;
    const found = refs.get(ref);
    if (found === undefined)
      throw new BuildError("internal", "Cannot use frontend result: its ref belongs to another build");
    return found;
  };
  return {
    ref: find(result.ref),
    refs:
      result.refs.size === 0 ? undefined : new Map([...result.refs].map(([platform, ref]) => [platform, find(ref)])),
    metadata: result.metadata,
    attestations: mapRefs(result.attestations ?? new Map(), find),
  };
}

/** A build's bridge as a frontend in the daemon asks it. @param refs Is told which ref is behind each that the client gives out. */
export function createFrontendClient(
  bridge: BuildBridge,
  request: BridgeSolveRequest,
  refs: WeakMap<FrontendRef, BridgeRef> = new WeakMap(),
): FrontendClient {
  const wrap = (ref: BridgeRef | undefined): FrontendRef | undefined => {
    if (ref === undefined) return undefined;
    const wrapped: FrontendRef = {
      readFile: async (path, options) => await readFile(refReader(ref), path, options),
      readDirectory: async (path, options) =>
        await readDirectory(refReader(ref), path, { ...options, includePattern: "" }),
      evaluate: async (options) => void (await ref.result(options)),
    };
    refs.set(wrapped, ref);
    return wrapped;
  };
  return {
    options: request.options,
    sessionId: bridge.session,
    workerPlatforms: bridge.engine.worker.platforms(),
    llbCapabilities: llbCapabilitySet,
    inputs: async () => new Map(Object.entries(request.inputs).map(([name, input]) => [name, readInput(input)])),
    solve: async (asked, options) => {
      const result = await bridge.solve(
        {
          definition: asked.definition === undefined ? undefined : definitionToProto(asked.definition),
          frontend: asked.frontend ?? "",
          options: asked.options ?? {},
          inputs: mapInputs(asked.inputs),
          cacheImports: [...(asked.cacheImports ?? []), ...request.cacheImports],
          evaluate: asked.evaluate ?? false,
        },
        options,
      );
      return wrapResult(result, wrap);
    },
    resolveImage: async (reference, asked, options) => {
      const { platform, resolveMode, logName, store } = asked;
      const layout = store === undefined ? {} : layoutRequest(store);
      try {
        return await bridge.resolveImage(reference, { platform, resolveMode, logName, ...layout }, options);
      } catch (error) {
        // The frontend loads what is there instead.
        if (error instanceof NotAnImageError) throw error;
        throw unresolved(reference, error);
      }
    },
    resolveSource: async ({ identifier, attributes }, { logName }, options) => {
      const message = {
        Source: { identifier, attrs: { ...attributes } },
        LogName: logName,
        ...(identifier.startsWith("git://") && { Git: { ReturnObject: true } }),
      };
      const asked = create(gatewaypb.ResolveSourceMetaRequestSchema, message);
      return resolvedSource(await bridge.sources.resolve(asked, options));
    },
    warn: async (vertex, warning) => bridge.warn(vertex, warning),
  };
}

function resolvedSource({ Git, HTTP }: gatewaypb.ResolveSourceMetaResponse): ResolvedSource {
  const seconds = HTTP?.LastModified?.seconds;
  return {
    ...(Git !== undefined && Git.CommitObject.length > 0 && { commitObject: Git.CommitObject }),
    ...(seconds !== undefined && { lastModified: seconds }),
  };
}

/** A definition without metadata is what is left of none on the wire. */
function readInput(definition: opspb.Definition): Definition {
  if (Object.keys(definition.metadata).length === 0)
    throw new BuildError("invalid_argument", "invalid nil input definition to definition op");
  return definitionFromProto(definition);
}

/** BuildKit's text, which users and tools look for. */
function unresolved(reference: string, cause: unknown): BuildError {
  const { code, message, hint } = BuildError.from(cause);
  return new BuildError(code, `failed to resolve source metadata for ${reference}: ${message}`, {
    cause,
    ...(hint !== undefined && { hint }),
  });
}

function mapInputs(
  inputs: ReadonlyMap<string, Parameters<typeof definitionToProto>[0]> | undefined,
): Record<string, opspb.Definition> {
  return Object.fromEntries([...(inputs ?? [])].map(([name, definition]) => [name, definitionToProto(definition)]));
}

function wrapResult(
  result: BridgeResult,
  wrap: (ref: BridgeRef | undefined) => FrontendRef | undefined,
): FrontendResult {
  return {
    ref: wrap(result.ref),
    refs: new Map([...(result.refs ?? [])].map(([platform, ref]) => [platform, wrap(ref)])),
    metadata: result.metadata,
    attestations: mapRefs(result.attestations, (ref) => (ref === undefined ? undefined : wrap(ref))),
  };
}
