import { BuildError } from "@buildkit-ts/errdefs";
import type { EdgeKeys } from "./edge-keys.ts";
import type { EdgeResult } from "./edge-result.ts";
import { RecordedMeanwhile } from "./exec-flights.ts";
import { execLock } from "./exec-lock.ts";
import { HeldStep } from "./held-step.ts";
import { loadFound } from "./load-found.ts";
import { recordResult } from "./record-result.ts";
import type { Scope } from "./scope.ts";
import type { SolverKey } from "./solver-key.ts";
import type { Result } from "./types.ts";
import type { VertexNode } from "./vertex-node.ts";

interface Execution {
  readonly node: VertexNode;
  /** Of the vertex' outputs. */
  readonly index: number;
  readonly keys: EdgeKeys;
  readonly inputs: readonly EdgeResult[];
}

/** Executes a step for one of its outputs, and records that; or takes what another one has recorded meanwhile. */
export async function executeEdge(execution: Execution, scope: Scope): Promise<EdgeResult> {
  const { node, keys, inputs } = execution;
  for (;;) {
    const own = keys.own();
    const look = keys.lookedAt;
    const lock = execLock(own, { vertex: node.vertex.digest, store: node.environment.cache.id });
    await using step = missedStep(execution, own);
    try {
      const isRecorded = async (): Promise<boolean> => await keys.isFoundSince(look);
      const results = inputs.map(({ result }) => result);
      const all = await node.exec(results, { lock, scope, isRecorded, step });
      const recorded = await record(execution, { all, own });
      explainLater(node, step, recorded);
      return recorded;
    } catch (error) {
      if (!(error instanceof RecordedMeanwhile)) throw error;
      await keys.lookAgain();
      const loaded = await loadFound(node, keys, { scope, keepLinks: true });
      if (loaded !== undefined) return loaded;
    } finally {
      await node.unlock();
    }
  }
}

function missedStep({ node, keys, inputs }: Execution, own: readonly SolverKey[]): HeldStep | undefined {
  const { cacheMap } = keys;
  if (node.environment.explainer === undefined || cacheMap === undefined) return undefined;
  const used = inputs.flatMap(({ result }, i) => {
    const input = keys.inputs[i];
    if (input === undefined) return [];
    const { vertex, log } = input.edge.node;
    return [{ vertex, state: input.state, result, explanation: log.explanation }];
  });
  return new HeldStep(node, { keys: own, cacheMap, inputs: used });
}

/** Keeps what later misses are compared with, while the build goes on. */
function explainLater(node: VertexNode, step: HeldStep | undefined, { keys, result }: EdgeResult): void {
  const { explainer } = node.environment;
  if (explainer === undefined || step === undefined || !keys.some(({ persistent }) => persistent)) return;
  const held = step.move();
  node.record(async () => {
    await using kept = held;
    await explainer.record(kept, result.id);
  });
}

async function record(
  { node, index, keys }: Execution,
  { all, own }: { readonly all: readonly Result[]; readonly own: readonly SolverKey[] },
): Promise<EdgeResult> {
  const result = all[index];
  if (result === undefined) {
    const message = `invalid response from exec need ${index} index but ${all.length} results received`;
    throw node.failures.fail(new BuildError("invalid_argument", message));
  }
  const saved = await recordResult(node, result, own);
  // Not below something that ignores the cache: its steps are other ones now, although their definitions are the same.
  if (!node.isPrivate) keys.addRecorded(saved);
  return { result, keys: saved, record: undefined };
}
