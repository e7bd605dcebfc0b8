import type { LocalCacheManager } from "@buildkit-ts/cache";
import { StepExplainer, StepStore } from "@buildkit-ts/explain";
import type { MetadataDatabase } from "@buildkit-ts/metadata";
import type { LocalSessionManager } from "@buildkit-ts/session";
import { GraphSolver, type OpResolver, SqliteCacheStore } from "@buildkit-ts/solver";
import { findLoss, formatResultId, type WorkerResultLoader } from "@buildkit-ts/worker";
import type { Logger } from "./logger.ts";

/** The solver with what it keeps: keys of results, and what they were made of. Both go with the records. */
export function openSolver(parts: {
  readonly resolveOp: OpResolver;
  readonly results: WorkerResultLoader;
  readonly workerId: string;
  readonly database: MetadataDatabase;
  readonly cache: LocalCacheManager;
  readonly sessions: LocalSessionManager;
  readonly logger: Logger;
}): GraphSolver {
  const { resolveOp, results, workerId, sessions, logger } = parts;
  const database = parts.database.sqlite;
  const store = new SqliteCacheStore({ id: workerId, database, results });
  const steps = new StepStore({ database });
  // A key of a record that is gone would be found, and missed, again and again; and the database would only grow.
  parts.cache.onRemoved((id) => {
    const result = formatResultId(workerId, id);
    store.release(result).catch((error: unknown) => logger.report(error, "forget cache keys"));
    steps.markGone(result);
  });
  const explainer = new StepExplainer({
    store: steps,
    reporter: logger,
    exists: (result) => results.exists(result),
    // Builds of one directory have one key, and so name the same steps.
    projectOf: (step) => sessions.find(String(step.values("session")[0]))?.sharedKey ?? "",
  });
  return new GraphSolver({ resolveOp, cache: store, reporter: logger, explainer, lossOf: findLoss });
}
