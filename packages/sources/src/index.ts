export type { Source, SourceCacheKey, SourceContext, SourceInstance, SourceRequest } from "./source.ts";
