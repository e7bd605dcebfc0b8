import type { WorkerRecord } from "@buildkit-ts/api/buildkit/worker";
import { formatBytesShort, formatDuration } from "@buildkit-ts/gotext";
import type { CommandContext } from "../command.ts";
import { openClient } from "../open-client.ts";
import { workerRecord } from "../output/go-records.ts";
import { renderTemplate } from "../output/go-template.ts";
import { formatTable } from "../output/table.ts";

/** Shows the daemon's workers; health checks of containers run this. */
export async function listWorkers(context: CommandContext): Promise<void> {
  const { args, signal } = context;
  await using client = await openClient(context);
  const workers = await client.listWorkers(args.list("filter"), { signal });
  const format = args.string("format");
  if (format !== "") process.stdout.write(`${renderTemplate(format, workers.map(workerRecord))}\n`);
  else if (args.boolean("verbose")) process.stdout.write(formatTable(workers.flatMap(verboseRows)));
  else
    process.stdout.write(
      formatTable([["ID", "PLATFORMS"], ...workers.map((worker) => [worker.ID, platforms(worker)])]),
    );
}

function platforms(worker: WorkerRecord): string {
  return worker.platforms
    .map(({ Architecture, OS, Variant }) => {
      // The usual variant of an architecture goes without saying.
      const isDefault =
        (Architecture === "arm64" && Variant === "v8") || (Architecture === "amd64" && Variant === "v1");
      return [OS, Architecture, isDefault ? "" : Variant].filter(Boolean).join("/");
    })
    .join(",");
}

function verboseRows(worker: WorkerRecord): string[][] {
  const version = worker.BuildkitVersion;
  const rows = [
    ["ID:", worker.ID],
    ["Platforms:", platforms(worker)],
    ["BuildKit:", `${version?.package ?? ""} ${version?.version ?? ""} ${version?.revision ?? ""}`],
  ];
  if (version?.dockerfileVersion) rows.push(["Dockerfile:", version.dockerfileVersion]);
  rows.push(["Labels:"], ...sorted(worker.Labels).map(([key, value]) => ["", `${key}:`, value]));
  return [...rows, ...deviceRows(worker), ...policyRows(worker), [""]];
}

function deviceRows(worker: WorkerRecord): string[][] {
  if (worker.CDIDevices.length === 0) return [];
  const rows = worker.CDIDevices.flatMap((device) => [
    ["", "Name:", device.Name],
    device.OnDemand ? ["", "OnDemand:", "true"] : ["", "AutoAllow:", String(device.AutoAllow)],
    ...sorted(device.Annotations).map(([key, value]) => ["", "Annotations:", `${key}:`, value]),
  ]);
  return [["Devices:"], ...rows, [""]];
}

function policyRows(worker: WorkerRecord): string[][] {
  return worker.GCPolicy.flatMap((rule, index) => {
    const rows = [[`GC Policy rule#${index}:`], ["", "All:", String(rule.all)]];
    if (rule.filters.length > 0) rows.push(["", "Filters:", rule.filters.join(" ")]);
    if (rule.keepDuration > 0n) rows.push(["", "Keep duration:", formatDuration(rule.keepDuration)]);
    if (rule.reservedSpace > 0n) rows.push(["", "Reserved space:", formatBytesShort(rule.reservedSpace)]);
    if (rule.minFreeSpace > 0n) rows.push(["", "Minimum free space:", formatBytesShort(rule.minFreeSpace)]);
    if (rule.maxUsedSpace > 0n) rows.push(["", "Maximum used space:", formatBytesShort(rule.maxUsedSpace)]);
    return rows;
  });
}

function sorted(record: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(record).sort(([left], [right]) => (left < right ? -1 : 1));
}
