import type { CommandContext } from "../command.ts";
import { formatExplanations } from "../explain/format-explanations.ts";
import { readExplanations } from "../explain/read-explanations.ts";
import { openClient } from "../open-client.ts";
import { requiredArgument } from "./required-argument.ts";

/** Says why the steps of a recorded build were executed. */
export async function explainBuild(context: CommandContext): Promise<void> {
  const { args, signal } = context;
  const ref = requiredArgument(args, "build ref");
  await using client = await openClient(context);
  const { json, steps } = await readExplanations(client, ref, { signal });
  process.stdout.write(args.string("format") === "json" ? `${json}\n` : formatExplanations(steps));
}
