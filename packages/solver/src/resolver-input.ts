import type { EdgeInput } from "./edge-input.ts";
import type { EdgeResult } from "./edge-result.ts";
import type { Scope } from "./scope.ts";
import type { SolverKey } from "./solver-key.ts";
import type { VertexNode } from "./vertex-node.ts";

/** What an edge sees of the edge that an input comes from. */
export interface InputEdge {
  readonly node: VertexNode;
  /** Keys by which steps upon the edge can be looked for. */
  readonly keys: readonly SolverKey[];
  /** The result, if it is there and not known to be lost. */
  readonly completed: EdgeResult | undefined;
  /** Whether {@linkcode InputEdge.findFast} has found what it finds. */
  readonly isFast: boolean;
  findFast(scope: Scope): Promise<void>;
  findSlow(scope: Scope): Promise<void>;
  complete(scope: Scope): Promise<EdgeResult>;
  /** Forgets a lost result. @returns Whether to ask for another one is worth it. */
  rewind(lost: EdgeResult, error: unknown): Promise<boolean>;
}

/** An input of an edge: where it comes from, and what is known of it there. */
export interface ResolverInput {
  readonly edge: InputEdge;
  readonly state: EdgeInput;
}
