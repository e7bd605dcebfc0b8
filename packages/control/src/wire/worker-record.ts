import { create } from "@bufbuild/protobuf";
import { workerpb } from "@buildkit-ts/api";
import { platformToProto } from "@buildkit-ts/llb";
import type { WorkerIdentity } from "../engine.ts";
import { versionInfo } from "./version.ts";

/** What `ListWorkers` and `Ping` say of a worker. */
export function workerRecord(worker: WorkerIdentity): workerpb.WorkerRecord {
  return create(workerpb.WorkerRecordSchema, {
    ID: worker.id,
    Labels: { ...worker.labels },
    platforms: worker.platforms().map(platformToProto),
    GCPolicy: worker.gcRules.map((rule) => ({
      all: rule.all,
      filters: [...rule.filters],
      keepDuration: BigInt(Math.round(rule.keepDurationMs * 1e6)),
      reservedSpace: BigInt(rule.reservedSpaceBytes),
      maxUsedSpace: BigInt(rule.maxUsedSpaceBytes),
      minFreeSpace: BigInt(rule.minFreeSpaceBytes),
    })),
    BuildkitVersion: versionInfo,
    CDIDevices: worker
      .devices()
      .map(({ name, autoAllow, annotations }) =>
        create(workerpb.CDIDeviceSchema, { Name: name, AutoAllow: autoAllow, Annotations: { ...annotations } }),
      ),
  });
}
