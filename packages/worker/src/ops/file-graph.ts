import type { opspb } from "@buildkit-ts/api";
import { invalid } from "../definition/validate-op.ts";

/** The actions of a file op as a checked graph: which action gives which output, and which trees are read more than once. */
export interface FileGraph {
  readonly actions: readonly opspb.FileAction[];
  readonly inputs: number;
  /** By output: the index of its node, counted as the actions count (inputs first). */
  readonly outputs: readonly number[];
  /** Nodes that must be committed: outputs, and those that several actions take. */
  readonly committed: ReadonlySet<number>;
  /** Nodes of the actions that outputs need, each after what it reads. */
  readonly order: readonly number[];
}

/** @throws {BuildError} `invalid_argument`, for indexes that name nothing, outputs that are missing or doubled, and loops. */
export function createFileGraph(actions: readonly opspb.FileAction[], inputs: number): FileGraph {
  const nodes = inputs + actions.length;
  const outputs = new Map<number, number>();
  const seen = new Set<number>();
  const committed = new Set<number>();
  const take = (input: bigint, kind: string): void => {
    if (input < -1n || input >= BigInt(nodes)) throw invalid(`invalid ${kind}input index ${input}, ${nodes} provided`);
    // Scratch is new for each that takes it.
    if (input === -1n) return;
    const index = Number(input);
    if (seen.has(index)) committed.add(index);
    seen.add(index);
  };
  for (const [i, action] of actions.entries()) {
    take(action.input, "");
    take(action.secondaryInput, "secondary ");
    if (action.output === -1n) continue;
    const output = Number(action.output);
    if (outputs.has(output)) throw invalid(`duplicate output ${output}`);
    outputs.set(output, inputs + i);
    seen.add(inputs + i);
    committed.add(inputs + i);
  }
  if (outputs.size === 0) throw invalid("no outputs specified");
  const ordered = Array.from({ length: outputs.size }, (_, index) => {
    const node = outputs.get(index);
    if (node === undefined) throw invalid(`missing output index ${index}`);
    return node;
  });
  const graph = { actions, inputs, outputs: ordered, committed };
  return { ...graph, order: orderNodes(graph) };
}

/** The nodes an action reads: its two inputs, and those in whose account files it looks for an owner. */
export function dependenciesOf(action: opspb.FileAction): number[] {
  const owner = ownerOf(action);
  const named = [owner?.user, owner?.group].flatMap((who) =>
    who?.user.case === "byName" ? [Number(who.user.value.input)] : [],
  );
  return [Number(action.input), Number(action.secondaryInput), ...named].filter((index) => index >= 0);
}

export function ownerOf({ action }: opspb.FileAction): opspb.ChownOpt | undefined {
  return action.case === undefined || action.case === "rm" ? undefined : action.value.owner;
}

/** Depth first without recursion: a chain may be of any length. */
function orderNodes({ actions, inputs, outputs }: Omit<FileGraph, "order">): number[] {
  const order: number[] = [];
  const state = new Map<number, "open" | "done">();
  const stack = outputs.toReversed();
  for (let node = stack.at(-1); node !== undefined; node = stack.at(-1)) {
    const action = actions[node - inputs];
    if (action === undefined || state.get(node) === "done") {
      stack.pop();
      continue;
    }
    const missing = dependenciesOf(action).filter((index) => index >= inputs && state.get(index) !== "done");
    if (missing.length === 0) {
      state.set(node, "done");
      order.push(node);
      stack.pop();
      continue;
    }
    if (state.get(node) === "open" && missing.some((index) => state.get(index) === "open")) {
      throw invalid(`loop from index ${node}`);
    }
    state.set(node, "open");
    stack.push(...missing);
  }
  return order;
}
