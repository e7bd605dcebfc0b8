import type { opspb } from "@buildkit-ts/api";
import { BuildError } from "@buildkit-ts/errdefs";

/**
 * Checks that an op has what its kind needs and refers only to inputs that it has.
 *
 * @throws {BuildError} `invalid_argument`, with BuildKit's texts where BuildKit checks the same.
 */
export function validateOp(op: opspb.Op): void {
  const body = op.op;
  switch (body.case) {
    case "exec":
      validateExec(body.value, op.inputs.length);
      return;
    case "file":
      validateFile(body.value, op.inputs.length);
      return;
    case "merge":
      for (const { input } of body.value.inputs) checkIndex(input, op.inputs.length, "merge");
      return;
    case "diff":
      if (body.value.lower === undefined || body.value.upper === undefined) {
        throw invalid("invalid diff op with nil lower or upper input");
      }
      checkDiffSide(body.value.lower.input, op.inputs.length);
      checkDiffSide(body.value.upper.input, op.inputs.length);
      return;
    case "passthrough":
      validatePassthrough(body.value, op.inputs.length);
      return;
    case "build":
      validateBuild(body.value, op.inputs.length);
      return;
    case "source":
      if (body.value.identifier === "") throw invalid("invalid source op with no identifier");
      return;
    case undefined:
      throw invalid("invalid nil op");
  }
}

function validateExec(exec: opspb.ExecOp, inputs: number): void {
  if (exec.meta === undefined) throw invalid("invalid exec op with no meta");
  if (exec.meta.args.length === 0) throw invalid("invalid exec op with no args");
  if (exec.mounts.length === 0) throw invalid("invalid exec op with no mounts");
  if (!exec.mounts.some((mount) => mount.dest === "/")) throw invalid("invalid exec op with no rootfs");
  for (const mount of exec.mounts) {
    if (mount.input < -1n || mount.input >= BigInt(inputs)) {
      throw invalid(`invalid exec op: mount ${mount.dest} has invalid input index ${mount.input}`);
    }
    if (mount.output < -1n || mount.output >= BigInt(exec.mounts.length)) {
      throw invalid(`invalid exec op: mount ${mount.dest} has invalid output index ${mount.output}`);
    }
  }
}

function validateFile(file: opspb.FileOp, inputs: number): void {
  if (file.actions.length === 0) throw invalid("invalid file op with no actions");
  file.actions.forEach((action, i) => {
    // Besides the inputs, the results of earlier actions can be referred to.
    const limit = BigInt(inputs + i);
    for (const index of [action.input, action.secondaryInput]) {
      if (index < -1n || index >= limit) throw invalid(`invalid file op: action ${i} has invalid input index ${index}`);
    }
    if (action.output < -1n || action.output >= BigInt(file.actions.length)) {
      throw invalid(`invalid file op: action ${i} has invalid output index ${action.output}`);
    }
    if (action.action.case === undefined) throw invalid("invalid file op with an action of no kind");
  });
}

function validatePassthrough(op: opspb.PassthroughOp, inputs: number): void {
  if (op.id === "") throw invalid("invalid passthrough op with no id");
  if (op.outputs.length === 0) throw invalid("invalid passthrough op with no outputs");
  for (const input of op.outputs) {
    if (input < 0n || input >= BigInt(inputs)) throw invalid(`invalid passthrough output input index ${input}`);
  }
}

function validateBuild(build: opspb.BuildOp, inputs: number): void {
  for (const { input } of Object.values(build.inputs)) checkIndex(input, inputs, "build");
}

function checkDiffSide(input: bigint, inputs: number): void {
  if (input !== -1n && (input < 0n || input >= BigInt(inputs))) throw invalid(`invalid diff input index ${input}`);
}

function checkIndex(input: bigint, inputs: number, kind: string): void {
  if (input < 0n || input >= BigInt(inputs)) throw invalid(`invalid ${kind} input index ${input}`);
}

function invalid(message: string): BuildError {
  return new BuildError("invalid_argument", message);
}
