import { BuildError } from "@buildkit-ts/errdefs";
import type { CommandContext } from "../command.ts";
import { openClient } from "../open-client.ts";
import { createProgressDisplay } from "../progress/progress-display.ts";
import { requiredArgument } from "./required-argument.ts";

/** Shows the progress of a build again, or its trace. */
export async function showLogs(context: CommandContext): Promise<void> {
  const { args, signal } = context;
  const ref = requiredArgument(args, "build ref");
  await using client = await openClient(context);
  if (args.boolean("trace")) {
    // The daemon waits some seconds for the last spans of a build's client; who asks now wants what there is.
    await client.updateBuildHistory({ Ref: ref, Finalize: true }, { signal });
    for await (const { record } of client.buildHistory({ Ref: ref, EarlyExit: true }, { signal })) {
      if (record?.trace === undefined) throw new BuildError("not_found", `ref ${ref} does not have trace`);
      for await (const data of client.readContent(record.trace.digest, { signal })) process.stdout.write(data);
      return;
    }
    throw new BuildError("not_found", `ref ${ref} not found`);
  }
  const display = createProgressDisplay(args.string("progress"), 1);
  try {
    for await (const status of client.status(ref, { signal })) display.update(status);
  } finally {
    display.finish();
  }
}
