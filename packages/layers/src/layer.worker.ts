import { parentPort } from "node:worker_threads";
import { BuildError } from "@buildkit-ts/errdefs";
import { hasErrno } from "@buildkit-ts/sys";
import { applyLayer, inheritAttributes } from "./apply/apply-layer.ts";
import type { LayerTask, LayerTaskAnswer, LayerTaskMessage } from "./layer-task.ts";
import { makeLayer } from "./make/make-layer.ts";
import { recompressLayer } from "./make/recompress-layer.ts";
import { UnsupportedUpperError } from "./make/upper-walk.ts";

async function run(task: LayerTask, checkAborted: () => void): Promise<LayerTaskAnswer> {
  switch (task.kind) {
    case "make":
      return { kind: "written", layer: await makeLayer(task, checkAborted) };
    case "recompress":
      return { kind: "written", layer: await recompressLayer(task, checkAborted) };
    case "apply":
      return { kind: "applied", layer: applyLayer(task, checkAborted) };
    case "inherit":
      inheritAttributes(task, checkAborted);
      return { kind: "inherited" };
    default:
      return task satisfies never;
  }
}

function failureOf(thrown: unknown): LayerTaskAnswer {
  const error = BuildError.from(thrown);
  const primary = thrown instanceof SuppressedError ? thrown.suppressed : thrown;
  if (primary instanceof UnsupportedUpperError) return { kind: "unsupportedUpper", message: primary.message };
  const full = hasErrno(primary, "ENOSPC", "EDQUOT");
  const code = full ? "resource_exhausted" : error.code === "unknown" ? "internal" : error.code;
  return { kind: "failed", code, message: error.message, hint: error.hint, stack: error.stack };
}

parentPort?.on("message", (message: LayerTaskMessage | undefined) => {
  // The end of an idle thread: without its port nothing keeps it.
  if (message === undefined) return parentPort?.close();
  const { task, abort } = message;
  const checkAborted = (): void => {
    if (Atomics.load(abort, 0) !== 0) throw new DOMException("The layer is no longer wanted", "AbortError");
  };
  run(task, checkAborted)
    .catch((error: unknown) => failureOf(error))
    .then(
      (answer) => parentPort?.postMessage(answer),
      (error: unknown) => {
        throw error;
      },
    );
});
