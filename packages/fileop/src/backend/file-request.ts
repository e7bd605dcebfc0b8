import type { FileAction, Owner } from "../file-actions.ts";
import type { OwnerRequest } from "./owner-lookup.ts";

/** What the file worker is asked to do. */
export type FileRequest =
  | {
      readonly verb: "apply";
      readonly action: FileAction;
      readonly roots: { readonly target: string; readonly source?: string };
    }
  | { readonly verb: "resolveOwner"; readonly owner: OwnerRequest; readonly root: string | undefined };

export type FileResult = Owner | undefined;
