import type { SourceRange } from "@buildkit-ts/errdefs";
import type { SourceLocation, State } from "@buildkit-ts/llb";
import type { Platform } from "@buildkit-ts/oci";
import type { Linter } from "../lint/linter.ts";
import type { Environment } from "../shell/environment.ts";
import type { BuildStage, StageCommand } from "./build-stage.ts";
import type { ConvertSettings, ConvertWorld } from "./convert-options.ts";
import type { IgnoreMatcher } from "./ignore-matcher.ts";
import { nextStepName, type StepNameOptions, shownCommand } from "./step-name.ts";

/** What an instruction is converted with. */
export interface DispatchContext {
  readonly settings: ConvertSettings;
  readonly world: ConvertWorld;
  readonly globalArgs: Environment;
  readonly escape: string;
  readonly buildContext: State;
  readonly targetPlatform: Platform;
  readonly linter: Linter;
  readonly ignored: IgnoreMatcher | undefined;
  readonly epochSeconds: bigint | undefined;
}

/** One instruction on its way into a stage. */
export interface Dispatch<I = StageCommand["instruction"]> {
  readonly stage: BuildStage;
  readonly instruction: I;
  readonly sources: readonly BuildStage[];
  readonly isOnbuild: boolean;
  readonly context: DispatchContext;
}

/** Where an op comes from, for error messages. */
export function locationsOf(
  context: { readonly settings: ConvertSettings },
  ranges: readonly SourceRange[],
): { readonly locations?: readonly SourceLocation[] } {
  const map = context.settings.sourceMap;
  return map === undefined ? {} : { locations: [{ map, ranges }] };
}

/** The name of the next step of the stage. */
export function stepNameFor(dispatch: Dispatch, code: string): string {
  const { stage, context } = dispatch;
  const shown = shownCommand(code, stage.environment, { escape: context.escape });
  return nextStepName(stage, shown, nameOptions(dispatch));
}

/** How the steps of an instruction are named. */
export function nameOptions({ stage, context, isOnbuild }: Dispatch): StepNameOptions {
  return {
    multiPlatform: context.settings.multiPlatform,
    platform: stage.platform ?? context.targetPlatform,
    environment: stage.environment,
    isOnbuild,
  };
}
