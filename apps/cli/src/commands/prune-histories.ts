import { BuildError } from "@buildkit-ts/errdefs";
import type { CommandContext } from "../command.ts";
import { openClient } from "../open-client.ts";
import { historyEvent } from "../output/go-records.ts";
import { renderTemplate } from "../output/go-template.ts";
import { formatTable } from "../output/table.ts";
import { historyRow } from "./history-table.ts";

/** Deletes the records of builds that are not pinned; one that cannot be deleted does not keep the others. */
export async function pruneHistories(context: CommandContext): Promise<void> {
  const { args, signal } = context;
  const format = args.string("format");
  await using client = await openClient(context);
  const rows = [["TYPE", "REF", "CREATED", "COMPLETED", "GENERATION"]];
  const failures: BuildError[] = [];
  for await (const event of client.buildHistory({ EarlyExit: true }, { signal })) {
    const { record } = event;
    if (record === undefined || record.pinned) continue;
    try {
      await client.updateBuildHistory({ Ref: record.Ref, Delete: true }, { signal });
    } catch (error) {
      signal.throwIfAborted();
      failures.push(BuildError.from(error));
      continue;
    }
    if (format !== "") process.stdout.write(`${renderTemplate(format, historyEvent(event))}\n`);
    else rows.push(historyRow(event));
  }
  if (format === "") process.stdout.write(formatTable(rows));
  const [first] = failures;
  if (first === undefined) return;
  const message = failures.map((failure) => failure.message).join("\n");
  throw new BuildError(first.code, message, { cause: new AggregateError(failures) });
}
