export { buildTraceKey, type TraceOfBuild, traceOf } from "./build-trace.ts";
export { captureSteps } from "./capture/capture-steps.ts";
export {
  type ContainerProcess,
  StepContainer,
  type StepContainerDeps,
  type StepContainerRequest,
} from "./container/step-container.ts";
export { KnownOps } from "./definition/known-ops.ts";
export { LlbOperation, operationOf } from "./definition/llb-operation.ts";
export {
  ignoredCacheMounts,
  type LoadOptions,
  loadDefinition,
  requireEntitlement,
} from "./definition/load-definition.ts";
export { type FailureStore, failureStoreKey } from "./failed-step.ts";
export { findLoss } from "./find-loss.ts";
export { CacheMounts, cacheMountKey } from "./mounts/cache-mounts.ts";
export { type MountDeps, type MountRequest, type PreparedMounts, prepareMounts } from "./mounts/prepare-mounts.ts";
export { fetchSecret } from "./mounts/session-secret.ts";
export { createOpResolver, type OpResolverDeps } from "./op-resolver.ts";
export type { NestedSolve } from "./ops/build-op.ts";
export { findSource, SourceOperation } from "./ops/source-op.ts";
export { evaluateSourceKey, proxyNetworkKey } from "./proxy/request-policy.ts";
export { WorkerResultLoader } from "./result-loader.ts";
export { type StepLogLimits, stepLogLimits } from "./step-log.ts";
export { detectPlatforms, ensureWorkerId, workerLabels } from "./worker-identity.ts";
export { formatResultId, parseResultId, refOfResult, WorkerResult } from "./worker-result.ts";
export { buildLimitKey, WorkerSlots } from "./worker-slots.ts";
