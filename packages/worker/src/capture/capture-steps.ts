import { opspb } from "@buildkit-ts/api";
import { parseDigest } from "@buildkit-ts/oci";
import { Capture } from "@buildkit-ts/provenance";
import type { JobStep } from "@buildkit-ts/solver";
import { operationOf } from "../definition/llb-operation.ts";
import { ExecOperation } from "../ops/exec-op.ts";
import { SourceOperation } from "../ops/source-op.ts";
import { captureSource } from "./capture-source.ts";

/** What the steps of a result say of how it came to be: what they took in, and what they could use. */
export function captureSteps(steps: Iterable<JobStep>): Capture {
  const capture = new Capture();
  for (const { vertex, op } of steps) {
    const { op: body } = operationOf(vertex).op;
    if (body.case === "exec") {
      captureExec(capture, body.value);
      if (operationOf(vertex).isProxied) captureRequests(capture, { vertex, op, exec: body.value });
    }
    // What a nested build took in is not known here.
    else if (body.case === "build") capture.incompleteMaterials = true;
    else if (body.case === "source" && op instanceof SourceOperation && op.pin !== "")
      captureSource(capture, { source: body.value, pin: op.pin, platform: operationOf(vertex).platform });
  }
  return capture;
}

/** What a step fetched by its proxy is a material like the build's own sources. */
function captureRequests(capture: Capture, { vertex, op, exec }: JobStep & { readonly exec: opspb.ExecOp }): void {
  capture.proxyNetwork = true;
  const step = { op: vertex.digest, name: exec.meta?.args.join(" ") ?? "" };
  const report = op instanceof ExecOperation ? op.proxyReport : undefined;
  // What a step fetched is not kept with its result: it is known only to the builds that waited for it to run.
  if (report === undefined) {
    capture.addProxyIncomplete({ ...step, method: "", uri: "", reason: "step_was_cached" });
    return;
  }
  for (const { url, digest } of report.materials) capture.addHttp({ url, digest: parseDigest(digest) });
  for (const { method, url, reason } of report.incomplete) {
    capture.addProxyIncomplete({ ...step, method, uri: url, reason });
  }
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
