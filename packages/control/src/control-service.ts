import { create } from "@bufbuild/protobuf";
import { controlpb } from "@buildkit-ts/api";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { readBuildRequest } from "./build-request.ts";
import type { BuildRunner } from "./build-runner.ts";
import type { BuildEngine } from "./engine.ts";
import type { BuildHistory } from "./history/build-history.ts";
import { statusMessages } from "./history/status-log.ts";
import { statusStream } from "./status-stream.ts";
import type { TraceArchive } from "./trace/trace-archive.ts";
import { readTraceContext } from "./trace/trace-context.ts";
import { buildCall, serverStream, unary } from "./wire/handlers.ts";
import { timestampHeader } from "./wire/timestamps.ts";
import { nonEmpty, readPruneRequest, usageMessage } from "./wire/usage-record.ts";
import { versionInfo } from "./wire/version.ts";
import { matchesWorkerFilter } from "./wire/worker-filter.ts";
import { workerRecord } from "./wire/worker-record.ts";

/** How long `Status` waits for the build it names: clients send it side by side with `Solve`. */
const statusLookupMs = 6000;

export interface ControlServiceOptions {
  readonly engine: BuildEngine;
  readonly runner: BuildRunner;
  readonly history: BuildHistory;
  readonly traces: TraceArchive;
}

/** `moby.buildkit.v1.Control`, but for `Session`, which works below gRPC's messages (see the server). */
export function controlService(options: ControlServiceOptions): Partial<ServiceImpl<typeof controlpb.Control>> {
  const { engine, runner, history, traces } = options;
  return {
    info: unary(async () => create(controlpb.InfoResponseSchema, { buildkitVersion: versionInfo })),
    listWorkers: unary(async (request) =>
      create(controlpb.ListWorkersResponseSchema, {
        record: matchesWorkerFilter(engine.worker, request.filter) ? [workerRecord(engine.worker)] : [],
      }),
    ),
    solve: buildCall(async (request, context) => {
      const response = await runner.run(readBuildRequest(request), {
        signal: context.signal,
        trace: readTraceContext(context.requestHeader),
      });
      return create(controlpb.SolveResponseSchema, { ExporterResponse: response });
    }),
    status: serverStream(async function* (request, context) {
      sendTime(context);
      const log = await history.findLog(request.Ref);
      if (log !== undefined) {
        yield* statusMessages(log);
        return;
      }
      const job = await engine.solver.getJob(request.Ref, { signal: context.signal, timeoutMs: statusLookupMs });
      yield* statusStream(job, { signal: context.signal });
    }),
    diskUsage: unary(async (request, context) => {
      const records = await engine.cache.diskUsage({ signal: context.signal, filters: nonEmpty(request.filter) });
      const oldest = request.ageLimit > 0n ? Date.now() - Number(request.ageLimit) / 1e6 : Number.POSITIVE_INFINITY;
      const old = records.filter((record) => (record.lastUsedAt ?? record.createdAt) <= oldest);
      return create(controlpb.DiskUsageResponseSchema, { record: old.map(usageMessage) });
    }),
    prune: serverStream(async function* (request, context) {
      const pruned = engine.cache.prune({ ...readPruneRequest(request), signal: context.signal });
      for await (const record of pruned) yield usageMessage(record);
    }),
    listenBuildHistory: serverStream(async function* (request, context) {
      sendTime(context);
      yield* history.listen(request, { signal: context.signal, now: Date.now() });
    }),
    updateBuildHistory: unary(async (request) => {
      if (request.Delete) await history.delete(request.Ref);
      else if (request.Finalize) {
        history.finalize(request.Ref);
        await traces.finalize(request.Ref);
      } else await history.update(request.Ref, { pinned: request.Pinned });
      return create(controlpb.UpdateBuildHistoryResponseSchema);
    }),
  };
}

function sendTime(context: HandlerContext): void {
  context.responseHeader.set("buildkit-current-timestamp", timestampHeader(Date.now()));
}
