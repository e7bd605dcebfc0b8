import { BuildError } from "@buildkit-ts/errdefs";
import type { AbortCheck } from "@buildkit-ts/sys";
import type { FileAction } from "../file-actions.ts";
import { copyAction } from "./copy-action.ts";
import { makeDirectoryAction, makeFileAction, makeSymlinkAction, removeAction } from "./simple-actions.ts";
import { TreeRoot } from "./tree-root.ts";

/** Does one action, synchronously but for the unpacking of archives: for worker threads. */
export async function applyAction(
  action: FileAction,
  roots: { readonly target: string; readonly source?: string },
  checkAborted: AbortCheck,
): Promise<void> {
  using target = new TreeRoot(roots.target);
  switch (action.kind) {
    case "mkdir":
      makeDirectoryAction(target, action);
      return;
    case "mkfile":
      makeFileAction(target, action);
      return;
    case "symlink":
      makeSymlinkAction(target, action);
      return;
    case "rm":
      removeAction(target, action, checkAborted);
      return;
    case "copy": {
      if (roots.source === undefined)
        throw new BuildError("invalid_argument", "Cannot copy: there is no tree to copy from");
      using source = new TreeRoot(roots.source);
      await copyAction({ source, target }, action, checkAborted);
      return;
    }
    default:
      action satisfies never;
  }
}
