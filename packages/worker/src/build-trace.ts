import { type CallTrace, withCallTrace } from "@buildkit-ts/session";
import type { OpContext, Vertex } from "@buildkit-ts/solver";

/** The key by which a build's job has its {@linkcode TraceOfBuild}. */
export const buildTraceKey = "trace";

/** What those that a build calls are told of its trace. */
export interface TraceOfBuild {
  readonly call: CallTrace;
  /** The same for one of its steps, by the vertex's digest. */
  callOf(step: string): CallTrace;
}

/** The trace that work belongs to: of work that several builds share, the first one's. */
export function traceOf(context: Pick<OpContext, "values">): TraceOfBuild | undefined {
  return context.values(buildTraceKey).find(isTrace);
}

/** Runs a part of a step: what it asks clients for says that the step asks. */
export async function traceStep<T>(
  vertex: Pick<Vertex, "digest">,
  context: OpContext,
  work: () => Promise<T>,
): Promise<T> {
  const trace = traceOf(context);
  return trace === undefined ? await work() : await withCallTrace(trace.callOf(vertex.digest), work);
}

function isTrace(value: unknown): value is TraceOfBuild {
  return typeof value === "object" && value !== null && "callOf" in value;
}
