import { quote } from "@buildkit-ts/gotext";
import type { ParsedLine } from "../parser/parsed-line.ts";
import { invalid } from "../text/located-error.ts";
import { Flags } from "./flags.ts";
import type { Stage } from "./instruction.ts";
import { baseOf, descriptionFor } from "./instruction-base.ts";

/** Reads FROM into a stage without commands. */
export function readFrom(line: ParsedLine): Stage {
  const stageName = readStageName(line.args);
  const flags = new Flags(line.flags, { platform: "string" });
  return {
    ...baseOf(line),
    kind: "from",
    stageName,
    baseName: line.args[0] ?? "",
    platform: flags.string("platform"),
    description: descriptionFor(line.comments, stageName),
    commands: [],
  };
}

function readStageName(args: readonly string[]): string {
  if (args.length === 1) return "";
  const [, as = "", name = ""] = args;
  if (args.length !== 3 || as.toLowerCase() !== "as") throw invalid("FROM requires either one or three arguments");
  const lower = name.toLowerCase();
  if (!/^[a-z][a-z0-9-_.]*$/.test(lower))
    throw invalid(`invalid name for build stage: ${quote(name)}, name can't start with a number or contain symbols`);
  return lower;
}
