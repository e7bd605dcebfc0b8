import { failureDetails } from "@buildkit-ts/client";
import { BuildError } from "@buildkit-ts/errdefs";
import { writeAll } from "../progress/progress-display.ts";
import { formatExcerpt } from "./format-excerpt.ts";

/** Writes a failure to standard error: the places in source files, what a policy says, and the error itself. */
export function reportFailure(thrown: unknown, options: { readonly isDebug: boolean }): void {
  const error = BuildError.from(thrown);
  const { sources, denials, stacks } = failureDetails(thrown);
  let text = sources.map(formatExcerpt).join("");
  for (const denial of denials) text += `policy deny: ${denial}\n`;
  text += `error: ${error.message}\n`;
  if (error.hint !== undefined) text += `${error.hint}\n`;
  if (options.isDebug) {
    for (const stack of stacks) text += `${formatStack(stack)}\n`;
    text += `${error.stack ?? ""}\n`;
  }
  writeAll(2, text);
}

interface RemoteStack {
  readonly cmdline?: readonly string[];
  readonly version?: string;
  readonly frames?: readonly { readonly Name?: string; readonly File?: string; readonly Line?: number }[];
}

function formatStack(stack: unknown): string {
  const { cmdline = [], frames = [], version = "" } = stack as RemoteStack;
  const lines = frames.map(({ Name = "", File = "", Line = 0 }) => `${Name}\n\t${File}:${Line}`);
  return [`${cmdline.join(" ")} ${version}`, ...lines].join("\n");
}
