export { cleanPath, compileFileMatch, matchPath, splitWildcards } from "./match-path.ts";
export { type FilterDecision, type FilterState, initialFilterState, PathFilter } from "./path-filter.ts";
export { type MatchInfo, PatternMatcher } from "./pattern-matcher.ts";
