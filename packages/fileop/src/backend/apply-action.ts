import type { UnpackLimits } from "@buildkit-ts/compression";
import { BuildError } from "@buildkit-ts/errdefs";
import type { AbortCheck } from "@buildkit-ts/sys";
import { canLink, type FileAction, type FileRoots } from "../file-actions.ts";
import { copyAction } from "./copy-action.ts";
import { FileLinker } from "./file-linker.ts";
import { LayeredRoot } from "./layered-root.ts";
import { makeDirectoryAction, makeFileAction, makeSymlinkAction, removeAction } from "./simple-actions.ts";
import { TreeRoot } from "./tree-root.ts";

/**
 * Does one action, synchronously but for the unpacking of archives: for worker threads.
 *
 * @returns the inodes that were linked into the layer.
 */
export async function applyAction(
  action: FileAction,
  roots: FileRoots,
  options: { readonly checkAborted: AbortCheck; readonly limits: UnpackLimits },
): Promise<BigUint64Array> {
  const { checkAborted } = options;
  using target = openTarget(action, roots);
  const linker = roots.layer === undefined ? undefined : new FileLinker(roots.layer.inodesBelow);
  switch (action.kind) {
    case "mkdir":
      makeDirectoryAction(target, action);
      break;
    case "mkfile":
      makeFileAction(target, action);
      break;
    case "symlink":
      makeSymlinkAction(target, action);
      break;
    case "rm":
      removeAction(target, action, checkAborted);
      break;
    case "copy": {
      if (roots.source === undefined)
        throw new BuildError("invalid_argument", "Cannot copy: there is no tree to copy from");
      using source = new TreeRoot(roots.source);
      await copyAction({ source, target, ...(linker !== undefined && { linker }) }, action, options);
      break;
    }
    default:
      action satisfies never;
  }
  return linker?.linked ?? new BigUint64Array();
}

function openTarget(action: FileAction, { target, layer }: FileRoots): TreeRoot {
  if (layer !== undefined && !canLink(action))
    throw new BuildError(
      "invalid_argument",
      `Cannot do ${action.kind} in an unmounted layer: it may hide what is below`,
    );
  return layer?.below === undefined ? new TreeRoot(target) : new LayeredRoot(target, layer.below);
}
