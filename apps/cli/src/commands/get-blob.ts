import { once } from "node:events";
import { BuildError } from "@buildkit-ts/errdefs";
import type { CommandContext } from "../command.ts";
import { openClient } from "../open-client.ts";
import { requiredArgument } from "./required-argument.ts";

/** Writes a blob of the daemon's store to standard output. */
export async function getBlob(context: CommandContext): Promise<void> {
  const { args, signal } = context;
  const digest = requiredArgument(args, "blob digest");
  if (!/^[a-z0-9]+:[0-9a-f]{32,}$/.test(digest))
    throw new BuildError("invalid_argument", "invalid checksum digest format");
  await using client = await openClient(context);
  for await (const data of client.readContent(digest, { signal })) {
    if (!process.stdout.write(data)) await once(process.stdout, "drain", { signal });
  }
}
