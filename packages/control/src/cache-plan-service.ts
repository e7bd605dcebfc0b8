import { create } from "@bufbuild/protobuf";
import { cacheplanpb } from "@buildkit-ts/api";
import type { ServiceImpl } from "@connectrpc/connect";
import type { BuildEngine } from "./engine.ts";
import { serverStream } from "./wire/handlers.ts";
import { readPruneRequest, usageMessage } from "./wire/usage-record.ts";

/** `buildkitts.v1.CachePlan`: a service of its own, as BuildKit's has no place for what a prune would do. */
export function cachePlanService(engine: BuildEngine): ServiceImpl<typeof cacheplanpb.CachePlan> {
  return {
    explainPrune: serverStream(async function* (request, context) {
      const options = { ...readPruneRequest(request), signal: context.signal };
      for (const { usage, goes, reason, pinnedBy } of await engine.cache.explainPrune(options)) {
        const record = usageMessage(usage);
        yield create(cacheplanpb.PruneVerdictSchema, { record, goes, reason, pinnedBy: [...pinnedBy] });
      }
    }),
  };
}
