import type { OpContext, Result } from "./types.ts";

/** Turns results into ids that survive a restart, and back. */
export interface ResultLoader {
  /** Keeps the value of the result until {@linkcode release}, and gives the id to load it by, which is the result's own. */
  save(result: Result): Promise<string>;
  /** @throws {BuildError} `not_found`, when the value is gone. */
  load(id: string, context: OpContext): Promise<Result>;
  /** Whether `load` is expected to succeed; a promise where somebody has to be asked. */
  exists(id: string): boolean | Promise<boolean>;
  /** The last record that named the id is gone. */
  release?(id: string): Promise<void>;
}
