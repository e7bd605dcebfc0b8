import { create } from "@bufbuild/protobuf";
import { workerpb } from "@buildkit-ts/api";
import type { Platform } from "@buildkit-ts/oci";
import type { WorkerIdentity } from "../engine.ts";
import { versionInfo } from "./version.ts";

/** What `ListWorkers` and `Ping` say of a worker. */
export function workerRecord(worker: WorkerIdentity): workerpb.WorkerRecord {
  return create(workerpb.WorkerRecordSchema, {
    ID: worker.id,
    Labels: { ...worker.labels },
    platforms: worker.platforms().map(platformMessage),
    GCPolicy: worker.gcRules.map((rule) => ({
      all: rule.all,
      filters: [...rule.filters],
      keepDuration: BigInt(Math.round(rule.keepDurationMs * 1e6)),
      reservedSpace: BigInt(rule.reservedSpaceBytes),
      maxUsedSpace: BigInt(rule.maxUsedSpaceBytes),
      minFreeSpace: BigInt(rule.minFreeSpaceBytes),
    })),
    BuildkitVersion: versionInfo,
  });
}

function platformMessage(platform: Platform): {
  OS: string;
  Architecture: string;
  Variant: string;
  OSVersion: string;
  OSFeatures: string[];
} {
  return {
    OS: platform.os,
    Architecture: platform.architecture,
    Variant: platform.variant ?? "",
    OSVersion: platform["os.version"] ?? "",
    OSFeatures: [...(platform["os.features"] ?? [])],
  };
}
