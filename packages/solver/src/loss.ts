import type { Result } from "./types.ts";

/** What a failure says of results: the content of some cannot be had any more. */
export interface Loss {
  /** Whether the content of the result is, or rests on, what is lost. */
  affects(result: Result): boolean;
  /** Whether a source that gave the result would give the same one: its content may be had at another time. Never, unless said. */
  isKept?(result: Result): boolean;
}

/** Tells from a failure, of an op or of a preparation, what was lost; undefined for a failure of another kind. */
export type LossFinder = (error: unknown) => Loss | undefined;

/** Says that a step could not be executed since the content of some of its inputs is gone. */
export class LostInputs extends Error {
  override readonly name = "LostInputs";
  readonly loss: Loss;

  /** @param cause What the op failed with. */
  constructor(cause: unknown, loss: Loss) {
    super("The content of an input is lost", { cause });
    this.loss = loss;
  }
}
