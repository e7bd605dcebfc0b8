import { readStages } from "../instructions/read-stages.ts";
import { parseLintOptions } from "../lint/lint-options.ts";
import { Linter } from "../lint/linter.ts";
import { parseDockerfile } from "../parser/parse-dockerfile.ts";
import { type JsonLocation, jsonLocation } from "./locations.ts";
import { alignColumns } from "./text-table.ts";

/** The stages of a Dockerfile. */
export interface TargetList {
  readonly targets:
    | readonly {
        readonly name?: string;
        readonly default?: boolean;
        readonly description?: string;
        readonly base?: string;
        readonly platform?: string;
        readonly location?: JsonLocation;
      }[]
    | null;
  /** Base64. */
  readonly sources: readonly string[];
}

/** Lists what can be built. @throws {LocatedError} */
export function targets(data: Uint8Array): TargetList {
  const { stages } = readStages(parseDockerfile(data), new Linter(parseLintOptions(""), undefined));
  const list = stages.map(({ stageName, description, baseName, platform, location }, i) => ({
    ...(stageName !== "" && { name: stageName }),
    ...(i === stages.length - 1 && { default: true }),
    ...(description !== "" && { description }),
    ...(baseName !== "" && { base: baseName }),
    ...(platform !== "" && { platform }),
    location: jsonLocation(location),
  }));
  return { targets: list.length === 0 ? null : list, sources: [Buffer.from(data).toString("base64")] };
}

/** The list as people read it. */
export function formatTargets(list: TargetList): string {
  const rows = (list.targets ?? []).map(({ name = "", default: isDefault, description = "" }) => {
    const shown = isDefault !== true ? name : name === "" ? "(default)" : `${name} (default)`;
    return [shown, description];
  });
  return alignColumns([["TARGET", "DESCRIPTION"], ...rows], 1);
}
