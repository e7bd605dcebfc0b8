import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { UsageRecord } from "@buildkit-ts/api/buildkit/control";
import { formatBytes } from "@buildkit-ts/gotext";
import { formatTime } from "../output/format-time.ts";

/** Head of the table of cache records. */
export const usageHeader: readonly string[] = ["ID", "RECLAIMABLE", "SIZE", "LAST ACCESSED"];

/** One record as a row; stars mark mutable records and shared sizes. */
export function usageRow(record: UsageRecord): string[] {
  const id = record.ID + (record.Mutable ? "*" : "");
  const size = formatBytes(record.Size) + (record.Shared ? "*" : "");
  return [id.padEnd(71), String(!record.InUse).padEnd(11), size, ""];
}

/** One record as lines of names and values, and an empty one. */
export function usageDetails(record: UsageRecord): string[][] {
  const rows = [["ID:", record.ID]];
  if (record.Parents.length > 0) rows.push(["Parents:", record.Parents.join(";")]);
  rows.push(
    ["Created at:", goTime(record.CreatedAt)],
    ["Mutable:", String(record.Mutable)],
    ["Reclaimable:", String(!record.InUse)],
    ["Shared:", String(record.Shared)],
    ["Size:", formatBytes(record.Size)],
  );
  if (record.Description !== "") rows.push(["Description:", record.Description]);
  rows.push(["Usage count:", String(record.UsageCount)]);
  if (record.LastUsedAt !== undefined) rows.push(["Last used:", goTime(record.LastUsedAt)]);
  if (record.RecordType !== "") rows.push(["Type:", record.RecordType]);
  return [...rows, [""]];
}

function goTime(time: Timestamp | undefined): string {
  if (time === undefined) return "0001-01-01 00:00:00 +0000 UTC";
  return `${formatTime(time).replace("T", " ").replace("Z", "")} +0000 UTC`;
}
