import type { opspb } from "@buildkit-ts/api";
import type { CacheManager } from "@buildkit-ts/cache";
import type { DeviceRegistry } from "@buildkit-ts/devices";
import { BuildError } from "@buildkit-ts/errdefs";
import type { Executor } from "@buildkit-ts/executor";
import type { FileBackend } from "@buildkit-ts/fileop";
import type { SessionManager } from "@buildkit-ts/session";
import type { CacheMapAnswer, Op, OpResolver, Vertex } from "@buildkit-ts/solver";
import type { Source } from "@buildkit-ts/sources";
import { operationOf } from "./definition/llb-operation.ts";
import { CacheMounts } from "./mounts/cache-mounts.ts";
import { BuildOperation, type NestedSolve } from "./ops/build-op.ts";
import { DiffOperation } from "./ops/diff-op.ts";
import { ExecOperation } from "./ops/exec-op.ts";
import { FileOperation } from "./ops/file-op.ts";
import { MergeOperation } from "./ops/merge-op.ts";
import { PassthroughOperation } from "./ops/passthrough-op.ts";
import { SourceOperation } from "./ops/source-op.ts";
import { type StepLogLimits, stepLogLimits } from "./step-log.ts";
import type { WorkerSlots } from "./worker-slots.ts";

/** What the ops of LLB work with; the daemon constructs it all. */
export interface OpResolverDeps {
  /** Part of all results' ids. */
  readonly workerId: string;
  readonly cache: CacheManager;
  readonly executor: Executor;
  /** Of the host, for steps that ask for some; without it they get none. */
  readonly devices?: DeviceRegistry;
  readonly sources: readonly Source[];
  readonly sessions: Pick<SessionManager, "get">;
  readonly fileBackend: FileBackend;
  /** Slots for source, exec and file ops: `max-parallelism`. */
  readonly slots: WorkerSlots;
  /** The worker's own, for mount points; on a file system that can hold sockets. */
  readonly temporaryDirectory: string;
  /** One per cache manager, or directories would not be shared; made here if absent. */
  readonly cacheMounts?: CacheMounts;
  readonly logLimits?: StepLogLimits;
  /** For `BuildOp`; without it such ops fail with `unimplemented`. */
  readonly solveNested?: NestedSolve;
}

/** Binds vertices made by `loadDefinition` to what they do. */
export function createOpResolver(deps: OpResolverDeps): OpResolver {
  const shared = {
    ...deps,
    cacheMounts: deps.cacheMounts ?? new CacheMounts(deps.cache, { temporaryDirectory: deps.temporaryDirectory }),
    logLimits: deps.logLimits ?? stepLogLimits(process.env),
    solveNested: deps.solveNested,
    cacheMaps: new WeakMap<opspb.FileOp, CacheMapAnswer>(),
  };
  return (vertex: Vertex): Op => {
    const { op } = operationOf(vertex).op;
    switch (op.case) {
      case "source":
        return new SourceOperation(vertex, op.value, shared);
      case "exec":
        return new ExecOperation(vertex, op.value, shared);
      case "file":
        return new FileOperation(vertex, op.value, shared);
      case "merge":
        return new MergeOperation(vertex, op.value, shared);
      case "diff":
        return new DiffOperation(vertex, op.value, shared);
      case "build":
        return new BuildOperation(vertex, op.value, shared);
      case "passthrough":
        return new PassthroughOperation(vertex, op.value);
      case undefined:
        throw new BuildError("invalid_argument", `no support for op of ${vertex.name}`);
    }
  };
}
