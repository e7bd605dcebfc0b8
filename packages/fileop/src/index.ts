export type { CopyAction, FileAction, FileBackend, Owner } from "./file-actions.ts";
export { ThreadedFileBackend } from "./threaded-file-backend.ts";
