import type { GcRule } from "@buildkit-ts/control";
import type { ConfigFile } from "./config-file.ts";
import { diskSize, durationMs, parseDiskSpace, percentOfDisk } from "./quantities.ts";

const dayMs = 86_400_000;
const unknownDiskBytes = 2e9;

type WorkerSettings = ConfigFile["worker"];

/**
 * The rules by which the cache is collected: those of the configuration, or BuildKit's default four.
 *
 * @param keepStorage `--oci-worker-gc-keepstorage`: `Reserved[,Free[,Maximum]]` in MB.
 */
export function gcRules(settings: WorkerSettings, keepStorage: string | undefined, root: string): GcRule[] {
  if (settings.gcPolicies.length > 0) return settings.gcPolicies.map((policy) => configuredRule(policy, root));
  const spaces = defaultSpaces(settings, keepStorage, root);
  const none = { reservedSpaceBytes: 0, maxUsedSpaceBytes: 0, minFreeSpaceBytes: 0 };
  return [
    {
      all: false,
      filters: ["type==source.local", "type==exec.cachemount", "type==source.git.checkout"],
      keepDurationMs: 2 * dayMs,
      ...none,
      maxUsedSpaceBytes: 512e6,
    },
    { all: false, filters: [], keepDurationMs: 60 * dayMs, ...spaces },
    { all: false, filters: [], keepDurationMs: 0, ...spaces },
    { all: true, filters: [], keepDurationMs: 0, ...spaces },
  ];
}

function configuredRule(policy: WorkerSettings["gcPolicies"][number], root: string): GcRule {
  const space = (value: string | number | undefined, key: string): number =>
    value === undefined ? 0 : parseDiskSpace(value, `gcpolicy.${key}`, root);
  return {
    all: policy.all,
    filters: policy.filters,
    keepDurationMs: policy.keepDuration === undefined ? 0 : durationMs(policy.keepDuration, "gcpolicy.keepDuration"),
    reservedSpaceBytes: space(policy.reservedSpace, "reservedSpace"),
    maxUsedSpaceBytes: space(policy.maxUsedSpace, "maxUsedSpace"),
    minFreeSpaceBytes: space(policy.minFreeSpace, "minFreeSpace"),
  };
}

function defaultSpaces(
  settings: WorkerSettings,
  keepStorage: string | undefined,
  root: string,
): Pick<GcRule, "reservedSpaceBytes" | "maxUsedSpaceBytes" | "minFreeSpaceBytes"> {
  const [reserved, free, maximum] = (keepStorage ?? "")
    .split(",")
    .map((megabytes) => (megabytes === "" ? undefined : Number(megabytes) * 1e6));
  const share = (percent: number, limit: number): number =>
    diskSize(root) === undefined ? unknownDiskBytes : Math.min(percentOfDisk(percent, root), limit);
  const setting = (value: string | number | undefined, key: string): number | undefined =>
    value === undefined ? undefined : parseDiskSpace(value, key, root);
  return {
    reservedSpaceBytes: reserved ?? setting(settings.reservedSpace, "reservedSpace") ?? share(10, 10e9),
    maxUsedSpaceBytes: maximum ?? setting(settings.maxUsedSpace, "maxUsedSpace") ?? share(80, 100e9),
    minFreeSpaceBytes: free ?? setting(settings.minFreeSpace, "minFreeSpace") ?? share(20, Number.POSITIVE_INFINITY),
  };
}
