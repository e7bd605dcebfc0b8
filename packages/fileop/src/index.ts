export type { CopyAction, FileAction, FileBackend, Owner } from "./file-actions.ts";
