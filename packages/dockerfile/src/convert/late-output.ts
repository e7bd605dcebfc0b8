import type { LlbVertex, Output } from "@buildkit-ts/llb";
import { State } from "@buildkit-ts/llb";

/**
 * An output that is known only after all stages are: which files of a context are wanted decides on its source, but
 * steps refer to it before that. It must be settled before the graph is marshalled.
 */
export class LateOutput implements Output {
  readonly #make: () => Output;
  #made: Output | undefined;

  constructor(make: () => Output) {
    this.#make = make;
  }

  get vertex(): LlbVertex {
    return this.#output.vertex;
  }

  get index(): number {
    return this.#output.index;
  }

  get #output(): Output {
    this.#made ??= this.#make();
    return this.#made;
  }

  /** A state upon an output that `make` gives when the graph is marshalled. */
  static state(make: () => Output): State {
    return new State(new LateOutput(make));
  }
}
