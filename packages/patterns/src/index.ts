export { cleanPath, matchPath, splitWildcards } from "./match-path.ts";
export { type MatchInfo, PatternMatcher } from "./pattern-matcher.ts";
