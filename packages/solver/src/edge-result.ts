import type { FoundRecord, SolverKey } from "./solver-key.ts";
import type { Result } from "./types.ts";

/** A result of an edge, with the keys by which it is known. */
export interface EdgeResult {
  readonly result: Result;
  readonly keys: readonly SolverKey[];
  /** The record that it was loaded from; undefined if the op was executed. */
  readonly record: FoundRecord | undefined;
}
