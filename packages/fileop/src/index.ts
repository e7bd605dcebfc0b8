export type { CopyAction, FileAction, FileBackend, Owner } from "./file-actions.ts";
export {
  cleanPath,
  compileFileMatch,
  type FilterDecision,
  type FilterState,
  initialFilterState,
  type ParentMatches,
  PathFilter,
  Pattern,
  type PatternMatch,
  PatternMatcher,
} from "./patterns/index.ts";
export { ThreadedFileBackend } from "./threaded-file-backend.ts";
