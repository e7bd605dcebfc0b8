import type { FaultPlan, TokenRules } from "./fault-proxy.ts";
import { type FaultWorld, reasonOf } from "./fault-world.ts";
import { type Operation, operations } from "./operations.ts";

/** One way in which a server fails. */
export interface FaultRow {
  readonly name: string;
  readonly plan: FaultPlan;
  readonly tokens?: TokenRules;
}

const once =
  (fault: ReturnType<FaultPlan>): FaultPlan =>
  ({ repeats }) =>
    repeats === 0 ? fault : undefined;
const soon = { "retry-after": "1" };

/** Faults that pass: every operation has to get over them. */
export const passingFaults: readonly FaultRow[] = [
  { name: "every answer 200 ms late", plan: () => ({ kind: "late", ms: 200 }) },
  { name: "every first request reset", plan: once({ kind: "reset" }) },
  { name: "every first answer cut short", plan: once({ kind: "truncated" }) },
  { name: "500 at first", plan: once({ kind: "status", status: 500 }) },
  { name: "503 with Retry-After at first", plan: once({ kind: "status", status: 503, headers: soon }) },
  { name: "429 with Retry-After at first", plan: once({ kind: "status", status: 429, headers: soon }) },
  { name: "every first answer with a wrong byte", plan: once({ kind: "wrong bytes" }) },
  { name: "tokens good for 2 requests", plan: () => undefined, tokens: { requests: 2 } },
];

/** Faults that stay: every operation has to end, and to say what is wrong. */
export const lastingFaults: readonly FaultRow[] = [
  { name: "500 always", plan: () => ({ kind: "status", status: 500 }) },
  { name: "403 always", plan: () => ({ kind: "status", status: 403 }) },
  { name: "wrong bytes always", plan: () => ({ kind: "wrong bytes" }) },
];

/** What came of one operation under one fault. */
export interface Cell {
  readonly fault: string;
  readonly operation: string;
  readonly ok: boolean;
  /** What happened, in words. */
  readonly text: string;
}

/** Runs an operation under a fault, from a daemon that has nothing of it. */
export async function runCell(world: FaultWorld, row: FaultRow, operation: Operation): Promise<Cell> {
  world.calm();
  await world.forget();
  await operation.prepare?.(world);
  const proxy = operation.proxy(world);
  proxy.use(row.plan, row.tokens === undefined ? {} : { tokens: row.tokens });
  const result = await operation.run(world);
  const { requests, faults } = proxy;
  world.calm();
  const ok = result.code === 0 && operation.check(world, result);
  const shown = result.code === 0 ? "it was not done, and the build went on" : reasonOf(result);
  const text = ok ? `done with ${faults} faults in ${requests} requests` : shown;
  return { fault: row.name, operation: operation.name, ok, text };
}

/** Whether a fault can happen to an operation: only registries give tokens, and git and files tell no digests. */
export function applies(row: FaultRow, operation: Operation): boolean {
  const isRegistry = ["pull", "push", "cache export", "cache import"].includes(operation.name);
  return isRegistry || (row.tokens === undefined && !/wrong byte/.test(row.name));
}

/** All cells, one after the other. */
export async function* runTable(world: FaultWorld, rows: readonly FaultRow[]): AsyncGenerator<Cell, void> {
  for (const row of rows) {
    for (const operation of operations) {
      if (applies(row, operation)) yield await runCell(world, row, operation);
    }
  }
}
