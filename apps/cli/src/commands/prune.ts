import { BuildError } from "@buildkit-ts/errdefs";
import { formatBytes, parseDuration } from "@buildkit-ts/gotext";
import type { CommandContext } from "../command.ts";
import { openClient } from "../open-client.ts";
import { usageRecord } from "../output/go-records.ts";
import { renderTemplate } from "../output/go-template.ts";
import { formatTable } from "../output/table.ts";
import { showPrunePlan } from "./prune-plan.ts";
import { usageDetails, usageHeader, usageRow } from "./usage-table.ts";

const bytesPerMegabyte = 1e6;

/** Deletes cache records and shows each as it goes. */
export async function prune(context: CommandContext): Promise<void> {
  const { args, signal } = context;
  const keep = args.string("keep-duration");
  const keepDuration = keep === "" ? 0 : parseDuration(keep).nanoseconds;
  if (keepDuration === undefined) {
    throw new BuildError("invalid_argument", `invalid value ${JSON.stringify(keep)} for flag -keep-duration`);
  }
  const megabytes = (name: string): bigint => BigInt(Math.trunc(args.number(name) * bytesPerMegabyte));
  const request = {
    filter: [...args.list("filter")],
    all: args.boolean("all"),
    keepDuration: BigInt(keepDuration),
    reservedSpace: megabytes("keep-storage-min"),
    maxUsedSpace: megabytes("keep-storage"),
    minFreeSpace: megabytes("free-storage"),
  };
  await using client = await openClient(context);
  if (args.boolean("dry-run")) {
    await showPrunePlan(client.explainPrune(request, { signal }), args);
    return;
  }
  if (args.boolean("explain"))
    throw new BuildError("invalid_argument", "Cannot use flag --explain: it needs --dry-run");
  const format = args.string("format");
  const isVerbose = args.boolean("verbose");
  let total = 0n;
  let isFirst = true;
  for await (const record of client.prune(request, { signal })) {
    total += record.Size;
    if (format !== "") process.stdout.write(`${renderTemplate(format, usageRecord(record))}\n`);
    else if (isVerbose) process.stdout.write(formatTable(usageDetails(record)));
    else process.stdout.write(formatTable(isFirst ? [usageHeader, usageRow(record)] : [usageRow(record)]));
    isFirst = false;
  }
  if (format === "") process.stdout.write(`Total:\t${formatBytes(total)}\n`);
}
