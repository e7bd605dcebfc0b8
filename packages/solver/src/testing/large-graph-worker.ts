import { parentPort, workerData } from "node:worker_threads";
import type { FakeVertex } from "./fake-vertex.ts";
import { SolverFixture } from "./solver-fixture.ts";

/** What the worker measures; times in milliseconds. */
export interface LargeGraphReport {
  readonly coldMs: number;
  readonly cachedMs: number;
  readonly cachedExecs: number;
  readonly heldResults: number;
}

const { kind, count } = workerData as { readonly kind: string; readonly count: number };

function graph(f: SolverFixture): FakeVertex {
  if (kind === "wide") {
    return f.vertex("top", { inputs: Array.from({ length: count }, (_, i) => f.vertex(String(i)).edge()) });
  }
  let top = f.vertex("0");
  if (kind === "deep") {
    for (let i = 1; i < count; i++) top = f.vertex(String(i), { inputs: [top.edge()] });
    return top;
  }
  for (let i = 1; i < count / 3; i++) {
    const left = f.vertex(`l${i}`, { inputs: [top.edge()], content: [0] });
    const right = f.vertex(`r${i}`, { inputs: [top.edge()] });
    top = f.vertex(String(i), { inputs: [left.edge(), right.edge()] });
  }
  return top;
}

const f = new SolverFixture();
const [cold, cached] = [graph(f), graph(f)];
const start = performance.now();
await f.build(cold.edge());
const middle = performance.now();
await f.build(cached.edge());
const report: LargeGraphReport = {
  coldMs: middle - start,
  cachedMs: performance.now() - middle,
  cachedExecs: cached.execs,
  heldResults: f.results.holds.count,
};
parentPort?.postMessage(report);
