import type { Instruction } from "../instructions/instruction.ts";
import { locate } from "../text/located-error.ts";
import type { BuildStage, StageCommand } from "./build-stage.ts";
import type { Dispatch, DispatchContext } from "./dispatch-context.ts";
import * as metadata from "./dispatch-metadata.ts";
import { dispatchRun } from "./dispatch-run.ts";
import { dispatchTransfer } from "./dispatch-transfer.ts";
import { expandInstruction } from "./expand-instruction.ts";

/** Applies one instruction to its stage. @throws {LocatedError} */
export function dispatchInstruction(stage: BuildStage, command: StageCommand, context: DispatchContext): void {
  const own = { ...context, linter: context.linter.forComments(command.instruction.comments) };
  const dispatch: Dispatch = { stage, context: own, ...command };
  try {
    apply({ ...dispatch, instruction: expandInstruction(dispatch) });
  } catch (error) {
    throw locate(error, command.instruction.location);
  }
}

function apply(dispatch: Dispatch): void {
  const { instruction } = dispatch;
  switch (instruction.kind) {
    case "run":
      return dispatchRun({ ...dispatch, instruction });
    case "add":
    case "copy":
      return dispatchTransfer({ ...dispatch, instruction });
    case "workdir":
      return metadata.dispatchWorkdir({ ...dispatch, instruction });
    case "env":
      return metadata.dispatchEnv({ ...dispatch, instruction });
    case "arg":
      return metadata.dispatchArg({ ...dispatch, instruction });
    case "label":
      return metadata.dispatchLabel({ ...dispatch, instruction });
    case "cmd":
      return metadata.dispatchCmd({ ...dispatch, instruction });
    case "entrypoint":
      return metadata.dispatchEntrypoint({ ...dispatch, instruction });
    default:
      return applyMetadata(dispatch, instruction);
  }
}

type Rest = Exclude<
  Instruction,
  { kind: "run" | "add" | "copy" | "workdir" | "env" | "arg" | "label" | "cmd" | "entrypoint" }
>;

function applyMetadata(dispatch: Dispatch, instruction: Rest): void {
  const { image } = dispatch.stage;
  switch (instruction.kind) {
    case "healthcheck":
      return metadata.dispatchHealthcheck({ ...dispatch, instruction });
    case "expose":
      return metadata.dispatchExpose({ ...dispatch, instruction });
    case "volume":
      return metadata.dispatchVolume({ ...dispatch, instruction });
    case "stopsignal":
      return metadata.dispatchStopsignal({ ...dispatch, instruction });
    case "user":
      dispatch.stage.state = dispatch.stage.state.user(instruction.user);
      image.config.User = instruction.user;
      return metadata.commitMetadata(dispatch, `USER ${instruction.user}`);
    case "shell":
      image.config.Shell = [...instruction.shell];
      return metadata.commitMetadata(dispatch, `SHELL [${instruction.shell.join(" ")}]`);
    case "maintainer":
      image.author = instruction.maintainer;
      return metadata.commitMetadata(dispatch, `MAINTAINER ${instruction.maintainer}`);
    case "onbuild":
      image.config.OnBuild = [...(image.config.OnBuild ?? []), instruction.expression];
      return;
    default:
      instruction satisfies never;
  }
}
