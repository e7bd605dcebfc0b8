export {
  type CopyAction,
  canLink,
  type FileAction,
  type FileBackend,
  type FileRoots,
  type LinkedLayer,
  type Owner,
} from "./file-actions.ts";
export { ThreadedFileBackend } from "./threaded-file-backend.ts";
