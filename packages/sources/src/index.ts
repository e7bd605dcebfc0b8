export { LocalSource, type LocalSourceOptions } from "./local/local-source.ts";
export type { Source, SourceCacheKey, SourceContext, SourceInstance, SourceRequest } from "./source.ts";
