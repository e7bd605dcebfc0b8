import { randomBytes } from "node:crypto";
import { opspb } from "@buildkit-ts/api";
import type { Semaphore } from "@buildkit-ts/async";
import type { CacheManager } from "@buildkit-ts/cache";
import { BuildError, ExitError } from "@buildkit-ts/errdefs";
import type { Executor, ProcessMeta } from "@buildkit-ts/executor";
import type { CacheMap, Op, OpContext, Result, Vertex } from "@buildkit-ts/solver";
import { operationOf } from "../definition/llb-operation.ts";
import { invalid } from "../definition/validate-op.ts";
import { type MountDeps, type PreparedMounts, prepareMounts } from "../mounts/prepare-mounts.ts";
import { fetchSecret } from "../mounts/session-secret.ts";
import { createStepLogs, type StepLogLimits } from "../step-log.ts";
import { refOfResult, WorkerResult } from "../worker-result.ts";
import { execCacheMap } from "./exec-cache-map.ts";
import { createProcessMeta } from "./process-meta.ts";

/** What {@linkcode ExecOperation} works with. */
export interface ExecOperationDeps extends MountDeps {
  readonly workerId: string;
  readonly cache: Pick<CacheManager, "contentChecksum" | "create">;
  readonly executor: Executor;
  readonly parallelism: Semaphore;
  readonly logLimits: StepLogLimits;
}

/** Runs a process in a container. */
export class ExecOperation implements Op {
  readonly #vertex: Vertex;
  readonly #op: opspb.ExecOp;
  readonly #deps: ExecOperationDeps;

  constructor(vertex: Vertex, op: opspb.ExecOp, deps: ExecOperationDeps) {
    this.#vertex = vertex;
    this.#op = op;
    this.#deps = deps;
  }

  async cacheMap(): Promise<{ readonly cacheMap: CacheMap; readonly done: boolean }> {
    const { platform } = operationOf(this.#vertex);
    const inputs = this.#vertex.inputs.length;
    return { cacheMap: execCacheMap(this.#op, { inputs, platform, cache: this.#deps.cache }), done: true };
  }

  async exec(inputs: readonly Result[], context: OpContext): Promise<Result[]> {
    using _slot = await this.#deps.parallelism.acquire({ signal: context.signal });
    const { meta } = this.#op;
    if (meta === undefined) throw invalid("invalid exec op with no meta");
    await using prepared = await prepareMounts(
      {
        mounts: this.#op.mounts,
        inputs: inputs.map(refOfResult),
        cwd: meta.cwd,
        name: `exec ${meta.args.join(" ")}`,
        context,
      },
      this.#deps,
    );
    await this.#run(meta, prepared, context);
    const refs = await prepared.commitOutputs();
    return refs.map((ref) => new WorkerResult(this.#deps.workerId, ref));
  }

  async #run(meta: opspb.Meta, prepared: PreparedMounts, context: OpContext): Promise<void> {
    const processMeta: ProcessMeta = createProcessMeta(this.#op, {
      operation: operationOf(this.#vertex),
      readonlyRootfs: prepared.readonlyRoot,
      secretEnv: await this.#loadSecretEnv(context),
    });
    const logs = createStepLogs(context.progress, this.#deps.logLimits);
    const request = {
      id: randomBytes(16).toString("hex"),
      meta: processMeta,
      root: prepared.root,
      mounts: prepared.mounts,
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

  async #loadSecretEnv(context: OpContext): Promise<string[]> {
    const env: string[] = [];
    for (const { ID: id, name, optional } of this.#op.secretenv) {
      if (id === "") throw invalid(`secret ID missing for ${JSON.stringify(name)} environment variable`);
      const access = { sessions: this.#deps.sessions, ids: context.sessions(), signal: context.signal };
      const data = await fetchSecret(access, { id, optional });
      env.push(`${name}=${Buffer.from(data ?? []).toString("utf8")}`);
    }
    return env;
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

/** Go's `%q`. */
function quote(text: string): string {
  return JSON.stringify(text)
    .replace(/\\u00([0-1][0-9a-f])/g, "\\x$1")
    .replaceAll("\\x07", "\\a")
    .replaceAll("\\x0b", "\\v")
    .replaceAll("\u007f", "\\x7f");
}
