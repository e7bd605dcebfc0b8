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

type Handlers = {
  readonly [K in Instruction["kind"]]: (dispatch: Dispatch<Extract<Instruction, { kind: K }>>) => void;
};

const handlers: Handlers = {
  add: dispatchTransfer,
  arg: metadata.dispatchArg,
  cmd: metadata.dispatchCmd,
  copy: dispatchTransfer,
  entrypoint: metadata.dispatchEntrypoint,
  env: metadata.dispatchEnv,
  expose: metadata.dispatchExpose,
  healthcheck: metadata.dispatchHealthcheck,
  label: metadata.dispatchLabel,
  maintainer: (dispatch) => {
    dispatch.stage.image.author = dispatch.instruction.maintainer;
    metadata.commitMetadata(dispatch, `MAINTAINER ${dispatch.instruction.maintainer}`);
  },
  onbuild: ({ stage, instruction }) => {
    stage.image.config.OnBuild = [...(stage.image.config.OnBuild ?? []), instruction.expression];
  },
  run: dispatchRun,
  shell: (dispatch) => {
    dispatch.stage.image.config.Shell = [...dispatch.instruction.shell];
    metadata.commitMetadata(dispatch, `SHELL [${dispatch.instruction.shell.join(" ")}]`);
  },
  stopsignal: metadata.dispatchStopsignal,
  user: (dispatch) => {
    const { stage, instruction } = dispatch;
    stage.state = stage.state.user(instruction.user);
    stage.image.config.User = instruction.user;
    metadata.commitMetadata(dispatch, `USER ${instruction.user}`);
  },
  volume: metadata.dispatchVolume,
  workdir: metadata.dispatchWorkdir,
};

function apply(dispatch: Dispatch): void {
  // The table's type pairs each kind with its handler; a lookup by a union loses that.
  const handler = handlers[dispatch.instruction.kind] as (dispatch: Dispatch) => void;
  handler(dispatch);
}
