import { opspb } from "@buildkit-ts/api";
import { Capture } from "@buildkit-ts/provenance";
import type { JobStep } from "@buildkit-ts/solver";
import { operationOf } from "../definition/llb-operation.ts";
import { SourceOperation } from "../ops/source-op.ts";
import { captureSource } from "./capture-source.ts";

/** What the steps of a result say of how it came to be: what they took in, and what they could use. */
export function captureSteps(steps: Iterable<JobStep>): Capture {
  const capture = new Capture();
  for (const { vertex, op } of steps) {
    const { op: body } = operationOf(vertex).op;
    if (body.case === "exec") captureExec(capture, body.value);
    // What a nested build took in is not known here.
    else if (body.case === "build") capture.incompleteMaterials = true;
    else if (body.case === "source" && op instanceof SourceOperation && op.pin !== "")
      captureSource(capture, { source: body.value, pin: op.pin, platform: operationOf(vertex).platform });
  }
  return capture;
}

function captureExec(capture: Capture, exec: opspb.ExecOp): void {
  for (const { mountType, secretOpt, SSHOpt } of exec.mounts) {
    if (mountType === opspb.MountType.SECRET)
      capture.addSecret({ id: secretOpt?.ID ?? "", optional: secretOpt?.optional ?? false });
    if (mountType === opspb.MountType.SSH)
      capture.addSsh({ id: SSHOpt?.ID ?? "", optional: SSHOpt?.optional ?? false });
  }
  for (const { ID: id, optional } of exec.secretenv) capture.addSecret({ id, optional });
  if (exec.network !== opspb.NetMode.NONE) capture.networkAccess = true;
}
