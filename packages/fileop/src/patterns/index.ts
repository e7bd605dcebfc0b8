export { compileFileMatch } from "./glob-matcher.ts";
export { type FilterDecision, type FilterState, initialFilterState, PathFilter } from "./path-filter.ts";
export { Pattern } from "./pattern.ts";
export { cleanPath, type ParentMatches, type PatternMatch, PatternMatcher } from "./pattern-matcher.ts";
