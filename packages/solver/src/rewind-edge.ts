import { BuildError } from "@buildkit-ts/errdefs";
import { askStore } from "./ask-store.ts";
import type { EdgeResult } from "./edge-result.ts";
import type { FoundRecords } from "./found-records.ts";
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
 * @returns Whether there is hope; without, the failure stands.
 */
export async function rewindEdge(lost: Suspect, error: unknown): Promise<boolean> {
  const pending = [lost];
  const executed: Suspect[] = [];
  let isRewound = false;
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { edge, result } = next;
    // Another one may have met the loss before.
    if (edge.completed !== result) isRewound = true;
    else if (result.record !== undefined) {
      await forgetLoaded(edge, result.record, error);
      isRewound = true;
    } else {
      executed.push(next);
      for (const input of edge.inputEdges) {
        if (input.completed !== undefined) pending.push({ edge: input, result: input.completed });
      }
    }
  }
  if (isRewound) for (const suspect of executed) forgetExecuted(suspect);
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

function forgetExecuted({ edge, result }: Suspect): void {
  if (edge.inputEdges.length === 0 || edge.completed !== result) return;
  edge.forgetResult();
  for (const record of result.keys.flatMap((key) => key.origin?.records ?? [])) edge.records.spend(record);
  edge.node.forgetExec(result.result);
}

/** Whether asking once more, at another time, would be in vain. */
function isGone(error: unknown): boolean {
  const { code } = BuildError.from(error);
  return code === "not_found" || code === "data_loss";
}
