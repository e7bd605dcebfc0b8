import type { opspb } from "@buildkit-ts/api";
import { BuildError } from "@buildkit-ts/errdefs";

/** The destination that stands for a container's root file system. */
export const rootMount = "/";

/** Checks what every op must have, so that the ops themselves need not. @throws {BuildError} `invalid_argument`. */
export function validateOp({ op, inputs }: opspb.Op): void {
  switch (op.case) {
    case "exec":
      validateExec(op.value);
      break;
    case "file":
      if (op.value.actions.length === 0) throw invalid("invalid file op with no actions");
      break;
    case "diff":
      if (op.value.lower === undefined || op.value.upper === undefined) {
        throw invalid("invalid diff op with nil lower or upper input");
      }
      break;
    case "passthrough":
      validatePassthrough(op.value, inputs.length);
      break;
    case "source":
    case "build":
    case "merge":
      break;
    case undefined:
      throw invalid("invalid nil op");
  }
}

function validateExec(exec: opspb.ExecOp): void {
  if (exec.meta === undefined) throw invalid("invalid exec op with no meta");
  if (exec.meta.args.length === 0) throw invalid("invalid exec op with no args");
  if (exec.mounts.length === 0) throw invalid("invalid exec op with no mounts");
  if (!exec.mounts.some((mount) => mount.dest === rootMount)) throw invalid("invalid exec op with no rootfs");
}

function validatePassthrough(op: opspb.PassthroughOp, inputs: number): void {
  if (op.id === "") throw invalid("invalid passthrough op with no id");
  if (op.outputs.length === 0) throw invalid("invalid passthrough op with no outputs");
  for (const input of op.outputs) {
    if (input < 0n || input >= BigInt(inputs)) throw invalid(`invalid passthrough output input index ${input}`);
  }
}

/** A definition that no client of ours would send. */
export function invalid(message: string): BuildError {
  return new BuildError("invalid_argument", message);
}
