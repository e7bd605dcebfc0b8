import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BuildError, ExitError } from "@buildkit-ts/errdefs";
import { mountTemporarily } from "@buildkit-ts/mount";
import type { ContainerRequest, Executor, ProcessStreams, RunOptions } from "../executor.ts";

/** What a script is given instead of a container: where the trees are mounted. */
export interface ScriptContext {
  readonly request: ContainerRequest;
  readonly streams: ProcessStreams;
  readonly signal: AbortSignal;
  /** The root file system. */
  readonly rootPath: string;
  /** By destination, whole trees without selectors. */
  readonly mountPaths: ReadonlyMap<string, string>;
}

/** Gives the exit code. */
export type Script = (context: ScriptContext) => Promise<number>;

/** Runs a function where a container would run. Mounts are real, processes are not. */
export class ScriptedExecutor implements Executor {
  /** All requests so far. */
  readonly requests: ContainerRequest[] = [];
  readonly #script: Script;

  constructor(script: Script) {
    this.#script = script;
  }

  async run(request: ContainerRequest, streams: ProcessStreams, options: RunOptions): Promise<void> {
    const { signal } = options;
    signal.throwIfAborted();
    this.requests.push(request);
    await using stack = new AsyncDisposableStack();
    const parent = await mkdtemp(join(tmpdir(), "scripted-executor-"));
    stack.defer(async () => await rm(parent, { recursive: true }));
    const root = stack.use(await mountTemporarily(request.root, { signal, parent }));
    const mountPaths = new Map<string, string>();
    for (const { destination, mounts } of request.mounts) {
      mountPaths.set(destination, stack.use(await mountTemporarily(mounts, { signal, parent })).path);
    }
    options.onStarted?.();
    const code = await this.#script({ request, streams, signal, rootPath: root.path, mountPaths });
    signal.throwIfAborted();
    if (code !== 0) throw new ExitError(code, `exit code: ${code}`);
  }

  async exec(id: string): Promise<void> {
    throw new BuildError("not_found", `container ${id} not found`);
  }

  async cleanup(): Promise<void> {}
}
