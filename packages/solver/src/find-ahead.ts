import { setImmediate as nextTurn } from "node:timers/promises";
import type { EdgeResolver } from "./edge-resolver.ts";
import type { Scope } from "./scope.ts";
import { walkNodes } from "./walk-nodes.ts";

/** How many vertices others wait for before they get their turn: some milliseconds. */
const verticesPerTurn = 64;

/**
 * Looks for the keys of everything that an edge is built from, as far as nobody has to be waited for: inputs before those that
 * use them, in one loop. What is left to {@linkcode EdgeResolver.findFast} is the same work, which costs a dozen promises for
 * each vertex; in a graph of many thousand that are all known, they were most of what a build took.
 */
export async function findAhead(edge: EdgeResolver, scope: Scope): Promise<void> {
  if (edge.isFast) return;
  let walked = 0;
  for (const node of walkNodes(edge.node, new Set())) {
    for (const each of node.edges()) each.findFastNow();
    walked += 1;
    if (walked % verticesPerTurn === 0) {
      await nextTurn();
      scope.throwIfAborted();
    }
  }
}
