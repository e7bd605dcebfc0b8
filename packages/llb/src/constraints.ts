import { create } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import type { Platform } from "@buildkit-ts/oci";
import type { SourceLocation } from "./source-map.ts";

/** Limits of a step's container. They are metadata: no part of the vertex's digest. */
export interface LinuxResources {
  readonly memory?: bigint;
  readonly memorySwap?: bigint;
  readonly cpuShares?: bigint;
  readonly cpuPeriod?: bigint;
  readonly cpuQuota?: bigint;
  readonly cpusetCpus?: string;
  readonly cpusetMems?: string;
}

/** What can be said of any op besides what it does. Only `platform` and `workerFilter` go into the vertex's digest. */
export interface Constraints {
  readonly platform?: Platform;
  readonly workerFilter?: readonly string[];
  readonly ignoreCache?: boolean;
  /** Shown instead of the op's own name: `description["llb.customname"]`. */
  readonly customName?: string;
  readonly description?: Readonly<Record<string, string>>;
  /** Whether cache exports hold this step's result; undefined leaves it to the exporter. */
  readonly exportCache?: boolean;
  readonly progressGroup?: { readonly id: string; readonly name: string; readonly weak?: boolean };
  readonly linuxResources?: LinuxResources;
  /** Capabilities that the daemon must have, besides those that the op itself asks for. */
  readonly caps?: readonly string[];
  /** Where in a source file the op comes from, for error messages. */
  readonly locations?: readonly SourceLocation[];
}

/** What holds for all ops of one marshalling, where an op does not say otherwise. */
export interface MarshalOptions extends Constraints {
  /** Identifies `local()` sources that name no session; a random one is made where this is undefined. */
  readonly localUniqueId?: string;
  /** Whether the daemon has a capability. Undefined when unknown: then nothing is added for old daemons. */
  readonly supports?: (cap: string) => boolean;
}

/** The metadata of one op, the defaults' fields below the op's own. */
export function mergedMetadata(defaults: Constraints, own: Constraints, caps: readonly string[]): opspb.OpMetadata {
  const meta = create(opspb.OpMetadataSchema);
  for (const c of [defaults, own]) applyMetadata(meta, c);
  for (const cap of caps) meta.caps[cap] = true;
  return meta;
}

function applyMetadata(meta: opspb.OpMetadata, c: Constraints): void {
  if (c.ignoreCache === true) meta.ignoreCache = true;
  Object.assign(meta.description, c.description);
  if (c.customName !== undefined) meta.description["llb.customname"] = c.customName;
  if (c.exportCache !== undefined) meta.exportCache = create(opspb.ExportCacheSchema, { Value: c.exportCache });
  for (const cap of c.caps ?? []) meta.caps[cap] = true;
  if (c.progressGroup !== undefined) {
    meta.progressGroup = create(opspb.ProgressGroupSchema, { weak: false, ...c.progressGroup });
  }
  if (c.linuxResources !== undefined) meta.linuxResources = create(opspb.LinuxResourcesSchema, c.linuxResources);
}

/** Merges what two definitions say of the same op: later fields win, flags and capabilities add up. */
export function mergeOpMetadata(first: opspb.OpMetadata | undefined, second: opspb.OpMetadata): opspb.OpMetadata {
  if (first === undefined) return second;
  const progressGroup = second.progressGroup ?? first.progressGroup;
  const exportCache = second.exportCache ?? first.exportCache;
  const linuxResources = second.linuxResources ?? first.linuxResources;
  return create(opspb.OpMetadataSchema, {
    ignoreCache: first.ignoreCache || second.ignoreCache,
    description: { ...first.description, ...second.description },
    caps: { ...first.caps, ...second.caps },
    ...(progressGroup !== undefined && { progressGroup }),
    ...(exportCache !== undefined && { exportCache }),
    ...(linuxResources !== undefined && { linuxResources }),
  });
}

/** The wire form of a platform. */
export function platformToProto(platform: Platform): opspb.Platform {
  return create(opspb.PlatformSchema, {
    Architecture: platform.architecture,
    OS: platform.os,
    Variant: platform.variant ?? "",
    OSVersion: platform["os.version"] ?? "",
    OSFeatures: [...(platform["os.features"] ?? [])],
  });
}

/** The platform of an op as it was received; undefined where the op has none. */
export function platformFromProto(platform: opspb.Platform | undefined): Platform | undefined {
  if (platform === undefined) return undefined;
  return {
    os: platform.OS,
    architecture: platform.Architecture,
    ...(platform.Variant !== "" && { variant: platform.Variant }),
    ...(platform.OSVersion !== "" && { "os.version": platform.OSVersion }),
    ...(platform.OSFeatures.length > 0 && { "os.features": platform.OSFeatures }),
  };
}
