import { BuildError, VertexError } from "@buildkit-ts/errdefs";
import { RecordedMeanwhile } from "./exec-flights.ts";
import { LostInputs } from "./loss.ts";
import type { Scope } from "./scope.ts";
import type { NodeJob, VertexNode } from "./vertex-node.ts";

interface Failure {
  readonly error: VertexError;
  /** The jobs that the vertex failed for. One that comes later tries again. */
  readonly jobs: ReadonlySet<NodeJob>;
}

/** Remembers how a vertex has failed, for the jobs that have seen it: for them it fails again, without being tried again. */
export class FailureGuard {
  readonly #node: Pick<VertexNode, "vertex" | "log" | "jobs">;
  #failure: Failure | undefined;

  constructor(node: Pick<VertexNode, "vertex" | "log" | "jobs">) {
    this.#node = node;
  }

  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  /** Runs a part of the op's work. @param doing Goes before the error's text. */
  async guard<T>(scope: Scope, work: () => Promise<T>, doing?: string): Promise<T> {
    const failure = this.#failure;
    if (failure !== undefined && [...this.#node.jobs].every((job) => failure.jobs.has(job))) throw failure.error;
    this.#failure = undefined;
    try {
      return await work();
    } catch (cause) {
      if (scope.aborted || isTriedAgain(cause)) throw cause;
      throw this.#remember(cause, doing);
    }
  }

  /**
   * Reports a failure that belongs to the vertex but did not come out of its op's main work.
   *
   * What was being done goes before the error's text, not into what the vertex reports.
   */
  fail(error: unknown, doing?: string): VertexError {
    this.#node.log.start(false);
    this.#node.log.complete(error);
    return this.#remember(error, doing);
  }

  #remember(cause: unknown, doing: string | undefined): VertexError {
    const error = new VertexError(this.#node.vertex.digest, doing === undefined ? cause : whileDoing(doing, cause));
    this.#failure = { error, jobs: new Set(this.#node.jobs) };
    return error;
  }
}

/** Whether it is no failure: the caller knows another way to go on. */
export function isTriedAgain(error: unknown): boolean {
  return error instanceof RecordedMeanwhile || error instanceof LostInputs;
}

function whileDoing(doing: string, cause: unknown): BuildError {
  const { code, message, hint } = BuildError.from(cause);
  return new BuildError(code, `${doing}: ${message}`, { cause, ...(hint !== undefined && { hint }) });
}
