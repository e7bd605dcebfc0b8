import { create } from "@bufbuild/protobuf";
import { controlpb } from "@buildkit-ts/api";
import type { PruneOptions, UsageRecord } from "@buildkit-ts/cache";
import { timestampOf } from "./timestamps.ts";

/** What a client asks to be pruned. */
export function readPruneRequest(request: controlpb.PruneRequest): PruneOptions {
  return {
    filters: nonEmpty(request.filter),
    all: request.all,
    keepDurationMs: Number(request.keepDuration) / 1e6,
    reservedSpaceBytes: Number(request.reservedSpace),
    maxUsedSpaceBytes: Number(request.maxUsedSpace),
    minFreeSpaceBytes: Number(request.minFreeSpace),
  };
}

/** Clients send a list that holds one empty text where they mean no filter. */
export function nonEmpty(filters: readonly string[]): string[] {
  return filters.filter((filter) => filter !== "");
}

/** A record as clients see it. */
export function usageMessage(record: UsageRecord): controlpb.UsageRecord {
  const lastUsed = timestampOf(record.lastUsedAt);
  return create(controlpb.UsageRecordSchema, {
    ID: record.id,
    Mutable: record.mutable,
    InUse: record.inUse,
    Size: BigInt(record.sizeBytes),
    CreatedAt: timestampOf(record.createdAt),
    ...(lastUsed !== undefined && { LastUsedAt: lastUsed }),
    UsageCount: BigInt(record.usageCount),
    Description: record.description,
    RecordType: record.recordType,
    Shared: record.shared,
    Parents: [...record.parents],
  });
}
