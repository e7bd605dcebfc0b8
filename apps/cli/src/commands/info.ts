import type { CommandContext } from "../command.ts";
import { openClient } from "../open-client.ts";
import { versionRecord } from "../output/go-records.ts";
import { renderTemplate } from "../output/go-template.ts";
import { goStruct } from "../output/go-value.ts";

/** Shows the daemon's version. */
export async function showInfo(context: CommandContext): Promise<void> {
  const { args, signal } = context;
  await using client = await openClient(context);
  const { buildkitVersion: version } = await client.info({ signal });
  const format = args.string("format");
  if (format !== "") {
    process.stdout.write(`${renderTemplate(format, goStruct({ BuildkitVersion: versionRecord(version) }))}\n`);
    return;
  }
  const rows = [["BuildKit:", `${version?.package ?? ""} ${version?.version ?? ""} ${version?.revision ?? ""}`]];
  if (version?.dockerfileVersion) rows.push(["Dockerfile:", version.dockerfileVersion]);
  const width = Math.max(...rows.map(([name = ""]) => name.length)) + 1;
  for (const [name = "", value = ""] of rows) process.stdout.write(`${name.padEnd(width)}${value}\n`);
}
