import { BuildError } from "@buildkit-ts/errdefs";
import type { CommandContext } from "../command.ts";
import { openClient } from "../open-client.ts";
import { requiredArgument } from "./required-argument.ts";

/** Pins, unpins or deletes a build's record. */
export async function controlRecord(context: CommandContext): Promise<void> {
  const { args, signal } = context;
  const ref = requiredArgument(args, "build ref");
  const [pin, unpin, deletes] = [args.boolean("pin"), args.boolean("unpin"), args.boolean("delete")];
  if (!pin && !unpin && !deletes) {
    throw new BuildError("invalid_argument", "must specify one of --pin, --unpin, --delete");
  }
  if (pin && unpin) throw new BuildError("invalid_argument", "cannot specify both --pin and --unpin");
  if (deletes && (pin || unpin)) {
    throw new BuildError("invalid_argument", "cannot specify --delete with --pin or --unpin");
  }
  await using client = await openClient(context);
  await client.updateBuildHistory({ Ref: ref, Pinned: pin, Delete: deletes }, { signal });
}
