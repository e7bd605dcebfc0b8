import { formatPlatformAll, type Platform } from "@buildkit-ts/oci";
import { type Environment, emptyEnvironment } from "../shell/environment.ts";
import { type ExpandOptions, expandWord } from "../shell/shell-words.ts";
import type { BuildStage } from "./build-stage.ts";
import { crossTarget } from "./platform-context.ts";

/** How a step is called. */
export interface StepNameOptions {
  readonly multiPlatform: boolean;
  readonly platform: Platform | undefined;
  readonly environment?: Environment;
  readonly isOnbuild?: boolean;
}

/** `[platform stage n/m] TEXT`. Each call counts one step of the stage. */
export function nextStepName(stage: BuildStage, text: string, options: StepNameOptions): string {
  if (stage.stepTotal === 0) return text;
  stage.stepIndex++;
  return stepName(stage, text, options);
}

/** Like {@linkcode nextStepName} for the step that was counted last. */
export function stepName(stage: BuildStage, text: string, options: StepNameOptions): string {
  if (stage.stepTotal === 0) return text;
  const { platform, environment = emptyEnvironment } = options;
  const machine =
    options.multiPlatform && platform !== undefined
      ? `${formatPlatformAll(platform)}${crossTarget(platform, environment)} `
      : "";
  const name = stage.displayName === "" ? "" : `${stage.displayName} `;
  const index = String(stage.stepIndex).padStart(String(stage.stepTotal).length);
  return `[${machine}${name}${index}/${stage.stepTotal}] ${options.isOnbuild === true ? "ONBUILD " : ""}${text}`;
}

/** An instruction's source as it is shown: keyword in upper case, variables expanded where that is possible. */
export function shownCommand(code: string, environment: Environment, options: ExpandOptions): string {
  let text = code;
  try {
    text = expandWord(code, environment, options).result;
  } catch {
    // The source is shown as it is: the shell that runs it may understand it.
  }
  const space = text.indexOf(" ");
  return space < 0 ? text.toUpperCase() : text.slice(0, space).toUpperCase() + text.slice(space);
}

/** The first line of a document, with dots if there are more. */
export function summarizeDocument(text: string): string {
  const [first = "", ...more] = text.trim().replaceAll("\r\n", "\n").split("\n");
  return more.length > 0 ? `${first}...` : first;
}
