import {
  type BuildFunction,
  BuildkitClient,
  type BuildRequest,
  type BuildResponse,
  failureDetails,
} from "@buildkit-ts/client";
import type { TestDaemon } from "./daemon.ts";

/** A step as the progress of one build showed it. */
export interface SeenStep {
  cached: boolean;
  started: boolean;
  completed: boolean;
  error: string;
}

/** What one build of our client's showed and gave. */
export interface Solved {
  readonly response: BuildResponse | undefined;
  readonly error: unknown;
  /** By name. */
  readonly steps: ReadonlyMap<string, SeenStep>;
  readonly logs: string;
  /** What steps said that they were doing. */
  readonly statuses: ReadonlySet<string>;
  /** Short texts, as they came. */
  readonly warnings: readonly string[];
}

export interface SolveOptions extends Omit<BuildRequest, "onStatus"> {
  readonly signal?: AbortSignal;
  /** The client's part, where a frontend runs in it. */
  readonly run?: BuildFunction;
  /** Called whenever progress came. */
  readonly onProgress?: (solved: Omit<Solved, "response" | "error">) => void;
}

/** Builds over a connection of its own; a failure is a result. */
export async function solve(daemon: TestDaemon, options: SolveOptions): Promise<Solved> {
  const { signal = AbortSignal.timeout(60_000), onProgress, run, ...request } = options;
  const steps = new Map<string, SeenStep>();
  const names = new Map<string, string>();
  const statuses = new Set<string>();
  const warnings: string[] = [];
  let logs = "";
  const onStatus: BuildRequest["onStatus"] = (status) => {
    for (const vertex of status.vertexes) {
      names.set(vertex.digest, vertex.name);
      const step = steps.get(vertex.name) ?? { cached: false, started: false, completed: false, error: "" };
      step.cached ||= vertex.cached;
      step.started ||= vertex.started !== undefined;
      step.completed ||= vertex.completed !== undefined;
      step.error ||= vertex.error;
      steps.set(vertex.name, step);
    }
    for (const { ID: id } of status.statuses) statuses.add(id);
    for (const log of status.logs) logs += Buffer.from(log.msg).toString("utf8");
    for (const warning of status.warnings) warnings.push(Buffer.from(warning.short).toString("utf8"));
    onProgress?.({ steps, logs, statuses, warnings });
  };
  await using client = await BuildkitClient.connect(daemon.address, { signal });
  try {
    const response = await client.build({ ...request, onStatus }, { signal, ...(run !== undefined && { run }) });
    return { response, error: undefined, steps, logs, statuses, warnings };
  } catch (error) {
    return { response: undefined, error, steps, logs, statuses, warnings };
  }
}

/** The same for a Dockerfile in a context. */
export async function solveDockerfile(
  daemon: TestDaemon,
  context: string,
  options: SolveOptions = {},
): Promise<Solved> {
  return await solve(daemon, {
    frontend: "dockerfile.v0",
    directories: { context, dockerfile: context },
    sharedKey: context,
    ...options,
  });
}

/** {@linkcode solveDockerfile}, for a build that must succeed. */
export async function solveOk(daemon: TestDaemon, context: string, options: SolveOptions = {}): Promise<Solved> {
  const solved = await solveDockerfile(daemon, context, options);
  if (solved.error !== undefined) throw new Error(`the build failed:\n${solved.logs}`, { cause: solved.error });
  return solved;
}

/** Names of the steps that ran, those that only load what a client has excepted. */
export function executed(solved: Solved): string[] {
  return [...solved.steps]
    .filter(([name, step]) => step.started && !step.cached && !name.startsWith("[internal]"))
    .map(([name]) => name.replace(/^\[[^\]]*\] /, ""));
}

/** The line numbers that a failure points to. */
export function linesOf(error: unknown): number[] {
  return failureDetails(error).sources.flatMap(({ ranges }) => ranges.map(({ start }) => start.line));
}
