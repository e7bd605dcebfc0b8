import { create } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import { DeviceGrants, DeviceRegistry } from "@buildkit-ts/devices";
import { BuildError } from "@buildkit-ts/errdefs";
import type { Definition } from "@buildkit-ts/llb";
import { type Digest, digestOf, hostPlatform, normalizePlatform, type Platform } from "@buildkit-ts/oci";
import { redactCredentialsIn } from "@buildkit-ts/provenance";
import type { CacheStore, Edge, Vertex, VertexOptions } from "@buildkit-ts/solver";
import { type KnownOps, parseOp } from "./known-ops.ts";
import { LlbOperation } from "./llb-operation.ts";
import { inputsFirst, isProxied, type LoadedOp, renameOps } from "./rename-ops.ts";
import { stepLocations } from "./step-locations.ts";
import { invalid, validateOp } from "./validate-op.ts";
import { vertexName } from "./vertex-name.ts";

/** How a build's definition becomes vertices. */
export interface LoadOptions {
  readonly signal: AbortSignal;
  /** What the build may ask for: `network.host`, `security.insecure`, `device=…`. */
  readonly entitlements: ReadonlySet<string>;
  /** Devices that steps may be given; none by default. */
  readonly devices?: DeviceRegistry;
  /** Imported caches, asked for each vertex. */
  readonly cacheSources?: readonly CacheStore[];
  /** Of ops that name none; the host's by default. */
  readonly defaultPlatform?: Platform;
  /** Source policy: may change a source op in place (true, if it did) or refuse it by throwing. */
  readonly evaluateSource?: (op: opspb.Op, options: { readonly signal: AbortSignal }) => Promise<boolean>;
  /** Whether steps that have a network have a proxy for it. */
  readonly proxyNetwork?: boolean;
  /** The ops of earlier builds. */
  readonly knownOps?: KnownOps;
  /** Told the new digests of ops, by their old ones, when sources were changed or steps get proxies. */
  readonly onRenamed?: (renamed: ReadonlyMap<string, string>) => void;
}

/** Ids of the cache mounts of steps whose cache is to be ignored: their directories are to be pruned before the build. */
export function ignoredCacheMounts(definition: Definition): string[] {
  const ids = new Set<string>();
  if (!definition.metadata.values().some(({ ignoreCache }) => ignoreCache)) return [];
  for (const bytes of definition.def) {
    const metadata = definition.metadata.get(digestOf(bytes));
    if (metadata?.ignoreCache !== true) continue;
    const { op } = parseOp(bytes);
    if (op.case !== "exec") continue;
    for (const { mountType, cacheOpt, dest } of op.value.mounts) {
      if (mountType === opspb.MountType.CACHE && cacheOpt !== undefined) ids.add(cacheOpt.ID || dest);
    }
  }
  return [...ids];
}

const maxOps = 100_000;

/**
 * Turns a marshalled graph into vertices that the solver and this worker's ops know. The last op only names what is asked for.
 *
 * @throws {BuildError} `invalid_argument`, for a graph that is none; `permission_denied`, for a missing entitlement.
 */
export async function loadDefinition(definition: Definition, options: LoadOptions): Promise<Edge> {
  const { def } = definition;
  if (def.length === 0) throw invalid("invalid empty definition");
  if (def.length > maxOps) throw invalid(`invalid LLB with ${def.length} vertexes: more than ${maxOps}`);
  const { ops, last, names } = await finalOps(definition, options);
  if (ops.size < 2) throw invalid(`invalid LLB with ${ops.size} vertexes`);
  const terminal = ops.get(last);
  ops.delete(last);
  const [input] = terminal?.op.inputs ?? [];
  if (input === undefined) throw invalid("invalid LLB with no inputs on last vertex");
  const locations = stepLocations(definition.source, names);
  return { vertex: loadVertex(ops, input.digest, { ...options, locations }), index: Number(input.index) };
}

/** The ops as they will be built: as the build's policy has them, and by the digests that they have then. */
async function finalOps(
  definition: Definition,
  options: LoadOptions,
): Promise<{
  readonly ops: Map<string, LoadedOp>;
  readonly last: string;
  readonly names: ReadonlyMap<string, string>;
}> {
  const { evaluateSource, proxyNetwork = false } = options;
  // What may be changed is no other build's.
  const mayChange = evaluateSource !== undefined || proxyNetwork;
  const ops = parseOps(definition, mayChange ? undefined : options.knownOps);
  const last = lastKey(ops);
  const isChanged = evaluateSource !== undefined && (await evaluateSources(ops, evaluateSource, options));
  if (!isChanged && ![...ops.values()].some(({ op }) => isProxied(op, options))) return { ops, last, names: new Map() };
  const renamed = renameOps(ops, options);
  options.onRenamed?.(renamed.names);
  return { ...renamed, last: renamed.names.get(last) ?? last };
}

function parseOps({ def, metadata }: Definition, known: KnownOps | undefined): Map<string, LoadedOp> {
  const ops = new Map<string, LoadedOp>();
  for (const bytes of def) {
    const digest = digestOf(bytes);
    const op = known === undefined ? parseOp(bytes) : known.parse(digest, bytes);
    // The last op is the terminal one, also if an equal one came before.
    ops.delete(digest);
    ops.set(digest, { op, metadata: metadata.get(digest) });
  }
  return ops;
}

function lastKey(ops: ReadonlyMap<string, LoadedOp>): string {
  return [...ops.keys()].at(-1) ?? "";
}

async function evaluateSources(
  ops: ReadonlyMap<string, LoadedOp>,
  evaluate: NonNullable<LoadOptions["evaluateSource"]>,
  { signal }: { readonly signal: AbortSignal },
): Promise<boolean> {
  const sources = [...ops.values()].filter(({ op }) => op.op.case === "source");
  const changes = await Promise.all(
    sources.map(async ({ op }) => {
      try {
        return await evaluate(op, { signal });
      } catch (error) {
        const { code, message } = BuildError.from(error);
        throw new BuildError(code, `error evaluating the source policy: ${message}`, { cause: error });
      }
    }),
  );
  return changes.includes(true);
}

function loadVertex(
  ops: ReadonlyMap<string, LoadedOp>,
  root: string,
  options: LoadOptions & { readonly locations: ReadonlyMap<string, string> },
): Vertex {
  const { locations } = options;
  const vertices = new Map<string, Vertex>();
  const defaultPlatform = options.defaultPlatform ?? hostPlatform();
  for (const digest of inputsFirst(ops, [root])) {
    const loaded = ops.get(digest);
    if (loaded === undefined) continue;
    const { metadata } = loaded;
    validateOp(loaded.op);
    const op = allowedOp(loaded.op, options);
    const inputs = op.inputs.map((input): Edge => {
      const vertex = vertices.get(input.digest);
      // Digests name contents, so an op cannot be among its own inputs; after a policy's change anything goes.
      if (vertex === undefined) throw invalid(`invalid input digest ${input.digest.slice(0, 200)}: a cycle`);
      return { vertex, index: Number(input.index) };
    });
    const vertexOptions = createOptions(metadata, options);
    const location = locations.get(digest);
    const names = inputs.map(({ vertex }) => vertex.name);
    vertices.set(digest, {
      digest: digest as Digest,
      name: redactCredentialsIn(vertexOptions.description["llb.customname"] ?? vertexName(op, names)),
      inputs,
      options: vertexOptions,
      ...(location !== undefined && { location }),
      operation: new LlbOperation(op, platformOf(op, defaultPlatform), {
        linuxResources: metadata?.linuxResources,
        isProxied: isProxied(op, options),
      }),
    });
  }
  const vertex = vertices.get(root);
  if (vertex === undefined) throw invalid(`invalid missing input digest ${root.slice(0, 200)}`);
  return vertex;
}

function createOptions(metadata: opspb.OpMetadata | undefined, options: LoadOptions): VertexOptions {
  const group = metadata?.progressGroup;
  return {
    ignoreCache: metadata?.ignoreCache ?? false,
    description: metadata?.description ?? {},
    ...(metadata?.exportCache !== undefined && { exportCache: metadata.exportCache.Value }),
    ...(group !== undefined && { progressGroup: { id: group.id, name: group.name, weak: group.weak } }),
    cacheSources: options.cacheSources ?? [],
  };
}

function platformOf({ platform }: opspb.Op, defaultPlatform: Platform): Platform {
  if (platform === undefined) return normalizePlatform(defaultPlatform);
  return normalizePlatform({
    os: platform.OS,
    architecture: platform.Architecture,
    ...(platform.Variant !== "" && { variant: platform.Variant }),
    ...(platform.OSVersion !== "" && { "os.version": platform.OSVersion }),
    ...(platform.OSFeatures.length > 0 && { "os.features": platform.OSFeatures }),
  });
}

/** The op with what the build allows of it. @throws {BuildError} `permission_denied`, where it asks for more. */
function allowedOp(op: opspb.Op, options: LoadOptions): opspb.Op {
  if (op.op.case !== "exec") return op;
  const { value } = op.op;
  const { entitlements, devices = noDevices } = options;
  requireEntitlement(value.network === opspb.NetMode.HOST, "network.host", entitlements);
  requireEntitlement(value.security === opspb.SecurityMode.INSECURE, "security.insecure", entitlements);
  if (value.cdiDevices.length === 0) return op;
  // From here on the step asks for exactly what it was allowed: its key tells devices of one class apart.
  const cdiDevices = new DeviceGrants(entitlements)
    .allow(value.cdiDevices, devices)
    .map((device) => create(opspb.CDIDeviceSchema, device));
  return { ...op, op: { case: "exec", value: { ...value, cdiDevices } } };
}

const noDevices = new DeviceRegistry({ directories: [], reporter: { report: () => undefined } });

/** Every way to run a container asks here whether the build may have what it wants. @throws {BuildError} `permission_denied`. */
export function requireEntitlement(wanted: boolean, name: string, granted: ReadonlySet<string>): void {
  if (wanted && !granted.has(name)) throw new BuildError("permission_denied", `${name} is not allowed`);
}
