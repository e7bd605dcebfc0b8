export { BackedCacheStore, type KeyBackend, type KeyLink, type StoredResult } from "./backed-cache-store.ts";
export type * from "./explainer.ts";
export {
  type ExportedLink,
  type ExportedResult,
  type ExportOptions,
  type ExportTarget,
  exportChains,
} from "./export-chains.ts";
export { GraphSolver, type GraphSolverOptions } from "./graph-solver.ts";
export type { Loss, LossFinder } from "./loss.ts";
export { MemoryCacheStore } from "./memory-cache-store.ts";
export type { ResultLoader } from "./result-loader.ts";
export { contentOutput, isRandom, rootKey } from "./root-key.ts";
export { type FoundRecord, type KeyOrigin, SolverKey } from "./solver-key.ts";
export { SqliteCacheStore } from "./sqlite-cache-store.ts";
export type * from "./types.ts";
