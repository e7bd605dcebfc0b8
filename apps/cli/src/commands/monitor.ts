import type { BuildHistoryRecord, Descriptor } from "@buildkit-ts/api/buildkit/control";
import type { CommandContext } from "../command.ts";
import { openClient } from "../open-client.ts";
import { eventTypeName } from "./history-table.ts";

/** Shows builds as they begin and end, until interrupted. */
export async function monitorBuilds(context: CommandContext): Promise<void> {
  const { args, signal } = context;
  const request = { ActiveOnly: !args.boolean("completed"), Ref: args.string("ref") };
  await using client = await openClient(context);
  for await (const event of client.buildHistory(request, { signal })) {
    process.stdout.write(`event: ${eventTypeName(event)} ref:${event.record?.Ref ?? ""}\n`);
    if (event.record !== undefined) process.stdout.write(recordLines(event.record));
  }
}

function recordLines(record: BuildHistoryRecord): string {
  const lines: string[] = [];
  if (record.numTotalSteps !== 0) lines.push(`cache: ${record.numCachedSteps}/${record.numTotalSteps}`);
  if (record.numWarnings !== 0) lines.push(`warnings: ${record.numWarnings}`);
  if (record.logs !== undefined) lines.push(`logs: ${formatDescriptor(record.logs)}`);
  if (record.trace !== undefined) lines.push(`trace: ${formatDescriptor(record.trace)}`);
  const results = [
    ["", record.Result] as const,
    ...Object.entries(record.Results).map(([key, value]) => [`[${key}] `, value] as const),
  ];
  for (const [prefix, result] of results) {
    if (result === undefined) continue;
    const found = Object.values(result.Results);
    const descriptors = found.length > 0 || result.ResultDeprecated === undefined ? found : [result.ResultDeprecated];
    for (const descriptor of descriptors) lines.push(`${prefix}descriptor: ${formatDescriptor(descriptor)}`);
    for (const attestation of result.Attestations) lines.push(`${prefix}attestation: ${formatDescriptor(attestation)}`);
  }
  return lines.map((line) => `  ${line}\n`).join("");
}

function formatDescriptor({ annotations, digest, mediaType, size }: Descriptor): string {
  const notes = Object.entries(annotations).map(([key, value]) => ` annotations:{key:"${key}" value:"${value}"}`);
  return `media_type:"${mediaType}" digest:"${digest}" size:${size}${notes.join("")}`;
}
