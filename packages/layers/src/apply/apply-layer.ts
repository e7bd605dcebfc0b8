import { createHash } from "node:crypto";
import { statSync } from "node:fs";
import { decompressBlocks, UnpackBudget, type UnpackLimits } from "@buildkit-ts/compression";
import { BuildError } from "@buildkit-ts/errdefs";
import type { DiffId } from "@buildkit-ts/oci";
import { TarDecoder } from "@buildkit-ts/tar";
import type { AppliedLayer } from "../layers.ts";
import { FileBlocks } from "./file-blocks.ts";
import { LayerUnpacker } from "./layer-unpacker.ts";
import { TargetTree } from "./target-tree.ts";

export interface ApplyLayerTask {
  readonly blobPath: string;
  readonly directory: string;
  readonly form: "overlay-upper" | "merged";
  readonly parents: readonly string[];
  readonly expected?: DiffId;
  readonly limits: UnpackLimits;
}

export interface InheritTask {
  readonly directory: string;
  readonly paths: readonly string[];
  readonly parents: readonly string[];
}

/** Gives directories the attributes that they have in lower layers. */
export function inheritAttributes(task: InheritTask, checkAborted: () => void): void {
  using tree = new TargetTree(task.directory, task.parents);
  for (const path of task.paths) {
    checkAborted();
    tree.inherit(path);
  }
}

/** Unpacks a layer blob. @throws {BuildError} `data_loss`, if the DiffID is not the expected one. */
export function applyLayer(task: ApplyLayerTask, checkAborted: () => void): AppliedLayer {
  using tree = new TargetTree(task.directory, task.parents);
  const budget = new UnpackBudget(task.limits, statSync(task.blobPath).size);
  const onEntry = (): void => {
    checkAborted();
    budget.addEntry();
  };
  const onHole = (length: number): void => budget.addBytes(length);
  using unpacker = new LayerUnpacker({ tree, form: task.form, checkAborted, onEntry, onHole });
  const decoder = new TarDecoder(unpacker);
  const hash = createHash("sha256");
  let sizeBytes = 0;
  using packed = new FileBlocks(task.blobPath);
  for (const chunk of decompressBlocks(packed)) {
    checkAborted();
    budget.addBytes(chunk.length);
    hash.update(chunk);
    sizeBytes += chunk.length;
    decoder.write(chunk);
  }
  decoder.finish();
  const diffId = `sha256:${hash.digest("hex")}` as DiffId;
  if (task.expected !== undefined && task.expected !== diffId) {
    throw new BuildError(
      "data_loss",
      `wrong diff id calculated on extraction "${diffId}", expected "${task.expected}"`,
    );
  }
  unpacker.finish();
  return { diffId, sizeBytes, impliedDirectories: [...tree.implied] };
}
