import type { UsageRecord } from "@buildkit-ts/api/buildkit/control";
import { formatBytes } from "@buildkit-ts/gotext";
import type { CommandContext } from "../command.ts";
import { openClient } from "../open-client.ts";
import { usageRecord } from "../output/go-records.ts";
import { renderTemplate } from "../output/go-template.ts";
import { formatTable } from "../output/table.ts";
import { usageDetails, usageHeader, usageRow } from "./usage-table.ts";

/** Shows the cache records and what they take. */
export async function showDiskUsage(context: CommandContext): Promise<void> {
  const { args, signal } = context;
  const filter = args.list("filter");
  await using client = await openClient(context);
  const records = await client.diskUsage(filter, { signal });
  const format = args.string("format");
  if (format !== "") {
    process.stdout.write(`${renderTemplate(format, records.map(usageRecord))}\n`);
    return;
  }
  const rows = args.boolean("verbose") ? records.flatMap(usageDetails) : [usageHeader, ...records.map(usageRow)];
  process.stdout.write(formatTable(rows));
  if (filter.length === 0) process.stdout.write(formatTable(summary(records)));
}

function summary(records: readonly UsageRecord[]): string[][] {
  let total = 0n;
  let reclaimable = 0n;
  let shared = 0n;
  for (const record of records) {
    if (record.Size > 0n) total += record.Size;
    if (record.Size > 0n && !record.InUse) reclaimable += record.Size;
    if (record.Shared) shared += record.Size;
  }
  const rows = [
    ["Reclaimable:", formatBytes(reclaimable)],
    ["Total:", formatBytes(total)],
  ];
  if (shared > 0n) rows.unshift(["Shared:", formatBytes(shared)], ["Private:", formatBytes(total - shared)]);
  return rows;
}
