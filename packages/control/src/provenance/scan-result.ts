import { type SbomRequest, SbomScanner, sbomAttestation } from "@buildkit-ts/dockerfile";
import type { ResultPlatform } from "@buildkit-ts/exporters";
import { definitionFromProto, definitionToProto, stateFromDefinition } from "@buildkit-ts/llb";
import { hostPlatform } from "@buildkit-ts/oci";
import { predicateTypes } from "@buildkit-ts/provenance";
import type { BridgeRef, BridgeResult } from "../bridge/bridge-ref.ts";
import type { BuildBridge } from "../bridge/build-bridge.ts";

/** How a result is scanned. */
export interface ScanRequest {
  readonly sbom: SbomRequest;
  /** The frontend's options, which say whether the cache may be used. */
  readonly options: Readonly<Record<string, string>>;
  readonly platforms: readonly ResultPlatform[];
}

/**
 * The result with a list of what is in each of its trees. A result that its frontend had scanned already stays as it is.
 *
 * @throws {BuildError} for a scanner that is none, or fails.
 */
export async function scanResult(
  result: BridgeResult,
  request: ScanRequest,
  context: { readonly bridge: BuildBridge; readonly signal: AbortSignal },
): Promise<BridgeResult> {
  if (hasSbom(result)) return result;
  const { bridge, signal } = context;
  const resolveMode = request.options["image-resolve-mode"] ?? "default";
  const scanner = await SbomScanner.find(request.sbom, {
    platform: bridge.engine.worker.platforms()[0] ?? hostPlatform(),
    resolve: async (reference, platform) =>
      await bridge.resolveImage(reference, { platform, resolveMode, logName: "" }, { signal }),
  });
  const attestations = new Map(result.attestations);
  for (const { id } of request.platforms) {
    const tree = result.refs === undefined ? result.ref : result.refs.get(id);
    if (tree === undefined) continue;
    const ref = await scan(tree, { scanner, name: id, ignoreCache: request.options["no-cache"] === "" }, context);
    attestations.set(id, [...(attestations.get(id) ?? []), sbomAttestation(ref)]);
  }
  return { ...result, attestations };
}

async function scan(
  tree: BridgeRef,
  how: { readonly scanner: SbomScanner; readonly name: string; readonly ignoreCache: boolean },
  { bridge, signal }: { readonly bridge: BuildBridge; readonly signal: AbortSignal },
): Promise<BridgeRef | undefined> {
  const { scanner, name, ignoreCache } = how;
  const core = stateFromDefinition(definitionFromProto(tree.definition));
  const definition = definitionToProto(scanner.scan({ name, core, extras: new Map(), ignoreCache }));
  const solve = { definition, frontend: "", options: {}, inputs: {}, cacheImports: [], evaluate: true };
  return (await bridge.solve(solve, { signal })).ref;
}

function hasSbom(result: BridgeResult): boolean {
  return [...result.attestations.values()].some((all) =>
    all.some(({ predicateType }) => predicateType === predicateTypes.spdx),
  );
}
