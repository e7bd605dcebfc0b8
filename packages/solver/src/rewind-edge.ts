import { BuildError } from "@buildkit-ts/errdefs";
import { askStore } from "./ask-store.ts";
import type { EdgeResult } from "./edge-result.ts";
import type { FoundRecords } from "./found-records.ts";
import type { Loss } from "./loss.ts";
import type { FoundRecord } from "./solver-key.ts";
import type { VertexNode } from "./vertex-node.ts";

/** An edge whose result may turn out to be lost. */
export interface RewindableEdge {
  readonly node: VertexNode;
  readonly records: FoundRecords;
  readonly completed: EdgeResult | undefined;
  readonly inputEdges: readonly RewindableEdge[];
  /** Forgets the result: what asks next gets another one. */
  forgetResult(): void;
}

interface Suspect {
  readonly edge: RewindableEdge;
  readonly result: EdgeResult;
}

/**
 * Forgets a result whose content turned out to be gone: what asks next gets it from another record, or executed. What was
 * executed from lost results, such as a merge of layers that nobody has any more, is executed again upon new ones.
 *
 * Where the failure says what is lost, what does not rest on it stays. Where it does not, any of the results that the lost
 * one was made of may be what is lost; those that this build has made are made again only together with a cached one.
 *
 * @returns Whether there is hope; without, the failure stands.
 */
export async function rewindEdge(lost: Suspect, error: unknown): Promise<boolean> {
  const { node } = lost.edge;
  const loss = node.environment.lossOf(error);
  const pending = [lost];
  const seen = new Set<RewindableEdge>();
  const executed: Suspect[] = [];
  let isRewound = false;
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { edge, result } = next;
    if (seen.has(edge)) continue;
    seen.add(edge);
    // Another one may have met the loss before.
    if (edge.completed !== result) isRewound = true;
    else if (result.record !== undefined) {
      await forgetLoaded(edge, result.record, error);
      isRewound = true;
    } else {
      executed.push(next);
      const below = edge.inputEdges.flatMap((input) => {
        const { completed } = input;
        const isSuspect = completed !== undefined && loss?.affects(completed.result) !== false;
        return isSuspect ? [{ edge: input, result: completed }] : [];
      });
      pending.push(...below);
      if (loss !== undefined && below.length === 0) isRewound ||= !isSourceKept(next, loss);
    }
  }
  // Whoever looks after the machine wants to know who takes things away.
  if (isRewound && loss !== undefined)
    node.environment.reporter.report(error, `use of the result of "${node.vertex.name}", which is made again`);
  for (const suspect of isRewound ? executed : []) {
    if (loss !== undefined) suspect.edge.node.warnOfLoss(error, "result");
    if (loss !== undefined || suspect.edge.inputEdges.length > 0) forgetExecuted(suspect);
  }
  return isRewound;
}

async function forgetLoaded(edge: RewindableEdge, record: FoundRecord, error: unknown): Promise<void> {
  const { completed: lost, node } = edge;
  if (lost === undefined) return;
  edge.forgetResult();
  node.warnOfLoss(error);
  const { cache, losses, reporter } = node.environment;
  // The main store's results are of many kinds: one that fails says nothing of the others.
  if (record.store !== cache) losses.add(record.store, error);
  for (const useless of [record, ...(await copiesOf(node, lost))]) {
    edge.records.spend(useless);
    if (isGone(error)) await askStore(useless.store, reporter, () => useless.store.forget(useless.record));
  }
}

/** What the main store knows of a result that was found in another one. */
async function copiesOf(node: VertexNode, { result, record, keys }: EdgeResult): Promise<FoundRecord[]> {
  const { cache, reporter } = node.environment;
  const [key] = keys;
  if (key === undefined || record?.store === cache) return [];
  const records = (await askStore(cache, reporter, () => cache.records(key))) ?? [];
  return records.filter(({ id }) => id === result.id).map((copy) => ({ store: cache, record: copy, key }));
}

function isSourceKept({ edge, result: { result } }: Suspect, loss: Loss): boolean {
  return edge.inputEdges.length === 0 && loss.isKept?.(result) === true;
}

function forgetExecuted({ edge, result }: Suspect): void {
  if (edge.completed !== result) return;
  edge.forgetResult();
  for (const record of result.keys.flatMap((key) => key.origin?.records ?? [])) edge.records.spend(record);
  edge.node.forgetExec(result.result);
}

/** Whether asking once more, at another time, would be in vain. */
function isGone(error: unknown): boolean {
  const { code } = BuildError.from(error);
  return code === "not_found" || code === "data_loss";
}
