import type { CommandContext } from "../command.ts";
import { openClient } from "../open-client.ts";
import { historyEvent } from "../output/go-records.ts";
import { renderTemplate } from "../output/go-template.ts";
import { formatTable } from "../output/table.ts";
import { historyRow } from "./history-table.ts";

/** Shows the recorded builds. */
export async function listHistories(context: CommandContext): Promise<void> {
  const { args, signal } = context;
  const format = args.string("format");
  await using client = await openClient(context);
  const rows = [["TYPE", "REF", "CREATED", "COMPLETED", "GENERATION", "PINNED"]];
  for await (const event of client.buildHistory({ EarlyExit: true }, { signal })) {
    if (format !== "") process.stdout.write(`${renderTemplate(format, historyEvent(event))}\n`);
    else rows.push([...historyRow(event), event.record?.pinned === true ? "*" : ""]);
  }
  if (format === "") process.stdout.write(formatTable(rows));
}
