import type { Digest } from "@buildkit-ts/oci";
import type { Explainer } from "../explainer.ts";
import { GraphSolver } from "../graph-solver.ts";
import { MemoryCacheStore } from "../memory-cache-store.ts";
import type { Edge, Job, ProgressEvent, VertexEvent } from "../types.ts";
import { FakeResults, findFakeLoss } from "./fake-results.ts";
import { FakeVertex, type FakeVertexOptions, resolveFake } from "./fake-vertex.ts";

const signal = new AbortController().signal;

/** A solver with an empty cache, and fake vertices for it. */
export class SolverFixture {
  readonly results: FakeResults = new FakeResults();
  readonly reports: unknown[] = [];
  readonly cache: MemoryCacheStore = new MemoryCacheStore({ id: "local", results: this.results });
  readonly solver: GraphSolver;
  #next = 0;

  constructor(explainer?: Explainer) {
    this.solver = new GraphSolver({
      resolveOp: resolveFake,
      cache: this.cache,
      lossOf: findFakeLoss,
      reporter: { report: (error) => this.reports.push(error) },
      ...(explainer !== undefined && { explainer }),
    });
  }

  vertex(name: string, options: FakeVertexOptions = {}): FakeVertex {
    return new FakeVertex(name, this.results, options);
  }

  job(): Job {
    return this.solver.createJob(`job${this.#next++}`);
  }

  /** Builds in a job of its own and gives the value. */
  async build(edge: Edge): Promise<string> {
    await using job = this.job();
    await using result = await job.build(edge, { signal });
    return String(result.value);
  }
}

/** All events of a job that was disposed. */
export async function eventsOf(job: Job): Promise<ProgressEvent[]> {
  const events: ProgressEvent[] = [];
  for await (const batch of job.events({ signal })) events.push(...batch);
  return events;
}

/** The newest state of a vertex. */
export function lastOf(events: readonly ProgressEvent[], digest: Digest): VertexEvent | undefined {
  return events.flatMap((e) => (e.kind === "vertex" && e.vertex.digest === digest ? [e.vertex] : [])).at(-1);
}
