import type { UnpackLimits } from "@buildkit-ts/compression";
import type { FileAction, FileRoots, Owner } from "../file-actions.ts";
import type { OwnerRequest } from "./owner-lookup.ts";

/** What the file worker is asked to do. */
export type FileRequest =
  | {
      readonly verb: "apply";
      readonly action: FileAction;
      readonly roots: FileRoots;
      readonly limits: UnpackLimits;
    }
  | { readonly verb: "resolveOwner"; readonly owner: OwnerRequest; readonly root: string | undefined };

export type FileResult =
  | { readonly verb: "apply"; readonly linked: BigUint64Array }
  | { readonly verb: "resolveOwner"; readonly owner: Owner };
