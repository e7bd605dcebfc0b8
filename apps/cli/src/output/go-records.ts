import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { BuildHistoryEvent, Descriptor, UsageRecord } from "@buildkit-ts/api/buildkit/control";
import type { BuildkitVersion, WorkerRecord } from "@buildkit-ts/api/buildkit/worker";
import { formatTime } from "./format-time.ts";
import { GoStruct, type GoValue, goMap, goStruct } from "./go-value.ts";

/** A cache record as templates and JSON show it. */
export function usageRecord(record: UsageRecord): GoStruct {
  const names = { ID: "id" };
  return goStruct(
    {
      ID: record.ID,
      Mutable: record.Mutable,
      InUse: record.InUse,
      Size: record.Size,
      CreatedAt: timeOf(record.CreatedAt) ?? "0001-01-01T00:00:00Z",
      LastUsedAt: timeOf(record.LastUsedAt),
      UsageCount: record.UsageCount,
      Parents: record.Parents,
      Description: record.Description,
      RecordType: record.RecordType,
      Shared: record.Shared,
    },
    { names },
  );
}

/** A worker as templates and JSON show it. */
export function workerRecord(worker: WorkerRecord): GoStruct {
  const platforms = worker.platforms.map((platform) => {
    const values = {
      Architecture: platform.Architecture,
      OS: platform.OS,
      OSVersion: platform.OSVersion,
      OSFeatures: platform.OSFeatures,
      Variant: platform.Variant,
    };
    const names = { OS: "os", OSVersion: "os.version", OSFeatures: "os.features" };
    const { fields } = goStruct(values, { names });
    const optional = ["OSVersion", "OSFeatures", "Variant"];
    return new GoStruct(fields.map((field) => ({ ...field, omitEmpty: optional.includes(field.name) })));
  });
  const policies = worker.GCPolicy.map((rule) =>
    goStruct({
      Filter: rule.filters,
      All: rule.all,
      KeepDuration: rule.keepDuration,
      ReservedSpace: rule.reservedSpace,
      MaxUsedSpace: rule.maxUsedSpace,
      MinFreeSpace: rule.minFreeSpace,
    }),
  );
  const devices = worker.CDIDevices.map((device) =>
    goStruct({
      Name: device.Name,
      AutoAllow: device.AutoAllow,
      Annotations: goMap(device.Annotations),
      OnDemand: device.OnDemand,
    }),
  );
  return goStruct(
    {
      ID: worker.ID,
      Labels: goMap(worker.Labels),
      Platforms: platforms,
      GCPolicy: policies,
      BuildkitVersion: versionRecord(worker.BuildkitVersion),
      CDIDevices: devices,
    },
    { names: { ID: "id", GCPolicy: "gcPolicy", CDIDevices: "cdiDevices" } },
  );
}

/** A daemon's version as templates and JSON show it. */
export function versionRecord(version: BuildkitVersion | undefined): GoStruct {
  return goStruct({
    Package: version?.package ?? "",
    Version: version?.version ?? "",
    Revision: version?.revision ?? "",
    DockerfileVersion: version?.dockerfileVersion ?? "",
  });
}

/** An event of the history as templates and JSON show it. */
export function historyEvent(event: BuildHistoryEvent): GoStruct {
  const { record } = event;
  const options = { omitEmpty: true };
  const seconds = (time: Timestamp | undefined): GoValue =>
    time === undefined ? undefined : goStruct({ Seconds: time.seconds, Nanos: time.nanos }, options);
  const details =
    record === undefined
      ? undefined
      : goStruct(
          {
            Ref: record.Ref,
            Frontend: record.Frontend,
            FrontendAttrs: goMap(record.FrontendAttrs),
            CreatedAt: seconds(record.CreatedAt),
            CompletedAt: seconds(record.CompletedAt),
            Logs: descriptor(record.logs),
            ExporterResponse: goMap(record.ExporterResponse),
            Generation: record.Generation,
            Trace: descriptor(record.trace),
            Pinned: record.pinned,
            NumCachedSteps: record.numCachedSteps,
            NumTotalSteps: record.numTotalSteps,
            NumCompletedSteps: record.numCompletedSteps,
            NumWarnings: record.numWarnings,
          },
          {
            ...options,
            names: {
              Ref: "Ref",
              Frontend: "Frontend",
              FrontendAttrs: "FrontendAttrs",
              CreatedAt: "CreatedAt",
              CompletedAt: "CompletedAt",
              ExporterResponse: "ExporterResponse",
              Generation: "Generation",
            },
          },
        );
  return goStruct({ Type: event.type, Record: details }, options);
}

function descriptor(value: Descriptor | undefined): GoValue {
  if (value === undefined) return undefined;
  const { annotations, digest, mediaType, size } = value;
  const fields = { MediaType: mediaType, Digest: digest, Size: size, Annotations: goMap(annotations) };
  return goStruct(fields, { omitEmpty: true, names: { MediaType: "media_type" } });
}

function timeOf(time: Timestamp | undefined): string | undefined {
  return time === undefined ? undefined : formatTime(time);
}
