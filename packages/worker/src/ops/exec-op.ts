import { randomBytes } from "node:crypto";
import { opspb } from "@buildkit-ts/api";
import type { CacheManager } from "@buildkit-ts/cache";
import type { ContainerEdits, DeviceRegistry } from "@buildkit-ts/devices";
import { BuildError, ExecError, ExitError } from "@buildkit-ts/errdefs";
import type { ContainerRequest, Executor, ProcessMeta } from "@buildkit-ts/executor";
import { quote } from "@buildkit-ts/gotext";
import type { ProxyReport } from "@buildkit-ts/network";
import type { CacheMapAnswer, Op, OpContext, Result, Vertex } from "@buildkit-ts/solver";
import { traceOf, traceStep } from "../build-trace.ts";
import type { ContentCache } from "../content-selector.ts";
import { operationOf } from "../definition/llb-operation.ts";
import { invalid } from "../definition/validate-op.ts";
import { keepFailedStep } from "../failed-step.ts";
import { checkInputs, checkInputsOfFailed } from "../find-loss.ts";
import { lockCacheMounts } from "../mounts/lock-cache-mounts.ts";
import { type MountDeps, type MountRequest, type PreparedMounts, prepareMounts } from "../mounts/prepare-mounts.ts";
import { loadSecretEnv } from "../mounts/session-secret.ts";
import { formatProxyRequests } from "../proxy/format-proxy-requests.ts";
import { requestCheck } from "../proxy/request-policy.ts";
import { createStepLogs, type StepLogLimits } from "../step-log.ts";
import { refOfResult, WorkerResult } from "../worker-result.ts";
import type { WorkerSlots } from "../worker-slots.ts";
import { execCacheMap } from "./exec-cache-map.ts";
import { createProcessMeta } from "./process-meta.ts";

/** What {@linkcode ExecOperation} works with. */
export interface ExecOperationDeps extends MountDeps {
  readonly workerId: string;
  readonly cache: ContentCache & Pick<CacheManager, "create">;
  readonly executor: Executor;
  readonly devices?: DeviceRegistry;
  readonly slots: WorkerSlots;
  readonly logLimits: StepLogLimits;
}

/** Runs a process in a container. */
export class ExecOperation implements Op {
  readonly isComputed = true;
  readonly #vertex: Vertex;
  readonly #op: opspb.ExecOp;
  readonly #deps: ExecOperationDeps;
  #proxyReport: ProxyReport | undefined;

  constructor(vertex: Vertex, op: opspb.ExecOp, deps: ExecOperationDeps) {
    this.#vertex = vertex;
    this.#op = op;
    this.#deps = deps;
  }

  /** What the process asked its proxy for; undefined, if it did not run or has none. */
  get proxyReport(): ProxyReport | undefined {
    return this.#proxyReport;
  }

  cacheMap(): CacheMapAnswer {
    const { platform, isProxied } = operationOf(this.#vertex);
    const inputs = this.#vertex.inputs.length;
    const { cache } = this.#deps;
    return { cacheMap: execCacheMap(this.#op, { inputs, platform, cache, isProxied }), done: true };
  }

  async exec(inputs: readonly Result[], context: OpContext): Promise<Result[]> {
    return await traceStep(this.#vertex, context, async () => await this.#exec(inputs, context));
  }

  async #exec(inputs: readonly Result[], context: OpContext): Promise<Result[]> {
    const { meta } = this.#op;
    if (meta === undefined) throw invalid("invalid exec op with no meta");
    const request = this.#mountRequest(meta, inputs, context);
    // First what may take as long as another step: who waits for a directory must not keep a place from others.
    await using scope = await this.#unlessFailed(inputs, request, lockCacheMounts(request, this.#deps));
    using _slot = await this.#deps.slots.acquire(context);
    const preparing = prepareMounts(request, { ...this.#deps, scope });
    await using prepared = await this.#unlessFailed(inputs, request, preparing);
    await this.#run(meta, prepared, context).catch(async (error: unknown) => {
      context.signal.throwIfAborted();
      await checkInputsOfFailed(inputs);
      const trees = { inputs: this.#mountInputs(inputs), left: async () => await prepared.commitFailed() };
      throw await keepFailedStep(error, trees, { workerId: this.#deps.workerId, context });
    });
    await checkInputs(inputs);
    const refs = await prepared.commitOutputs();
    return refs.map((ref) => new WorkerResult(this.#deps.workerId, ref));
  }

  #mountRequest(meta: opspb.Meta, inputs: readonly Result[], context: OpContext): MountRequest {
    const { mounts } = this.#op;
    const name = `exec ${meta.args.join(" ")}`;
    return { mounts, inputs: inputs.map(refOfResult), cwd: meta.cwd, name, context };
  }

  /** A part of the preparation. Where it fails nothing was run, so each mount would show what it was given. */
  async #unlessFailed<T>(inputs: readonly Result[], { context }: MountRequest, preparing: Promise<T>): Promise<T> {
    return await preparing.catch(async (error: unknown) => {
      context.signal.throwIfAborted();
      await checkInputsOfFailed(inputs);
      const given = this.#mountInputs(inputs).map((result) => result?.id ?? "");
      throw new ExecError(error, { inputs: given, mounts: given });
    });
  }

  #deviceEdits(): { readonly deviceEdits?: ContainerEdits } {
    const { devices } = this.#deps;
    if (devices === undefined || this.#op.cdiDevices.length === 0) return {};
    return { deviceEdits: devices.edits(devices.find(this.#op.cdiDevices).map(({ name }) => name)) };
  }

  /** @param log Told what the process has asked for, when it has ended. */
  #proxy(context: OpContext, log: (report: ProxyReport) => void): Pick<ContainerRequest, "proxy"> {
    if (!operationOf(this.#vertex).isProxied) return {};
    const onReport = (report: ProxyReport): void => {
      this.#proxyReport = report;
      if (report.requests.length > 0) log(report);
    };
    return { proxy: { check: requestCheck(context), onReport } };
  }

  /** By mount. */
  #mountInputs(inputs: readonly Result[]): (Result | undefined)[] {
    return this.#op.mounts.map(({ input }) => inputs[Number(input)]);
  }

  async #run(meta: opspb.Meta, prepared: PreparedMounts, context: OpContext): Promise<void> {
    const access = { sessions: this.#deps.sessions, ids: context.sessions(), signal: context.signal };
    const processMeta: ProcessMeta = createProcessMeta(this.#op, {
      operation: operationOf(this.#vertex),
      readonlyRootfs: prepared.readonlyRoot,
      secretEnv: await loadSecretEnv(access, this.#op.secretenv),
      trace: traceOf(context)?.callOf(this.#vertex.digest),
    });
    const logs = createStepLogs(context.progress, this.#deps.logLimits);
    const request = {
      id: randomBytes(16).toString("hex"),
      meta: processMeta,
      root: prepared.root,
      mounts: prepared.mounts,
      ...this.#deviceEdits(),
      ...this.#proxy(context, (report) => logs.write(2, Buffer.from(formatProxyRequests(report)))),
    };
    try {
      await this.#deps.executor.run(
        request,
        { onOutput: (stream, data) => logs.write(stream, data) },
        { signal: context.signal },
      );
      if (isValidExit(meta, 0)) return;
      throw new ExitError(0, "exit code: 0");
    } catch (error) {
      context.signal.throwIfAborted();
      if (error instanceof ExitError && isValidExit(meta, error.exitCode)) return;
      logs.flush();
      throw describeFailure(meta, error);
    }
  }
}

function isValidExit({ validExitCodes }: opspb.Meta, code: number): boolean {
  return validExitCodes.length === 0 ? code === 0 : validExitCodes.includes(code);
}

/** The text that clients show and match. */
function describeFailure({ args }: opspb.Meta, error: unknown): BuildError {
  const failure = BuildError.from(error);
  const message = `process ${quote(args.join(" "))} did not complete successfully: ${failure.message}`;
  const options = { cause: error, ...(failure.hint !== undefined && { hint: failure.hint }) };
  return failure instanceof ExitError
    ? new ExitError(failure.exitCode, message, options)
    : new BuildError(failure.code, message, options);
}
