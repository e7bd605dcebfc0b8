import type { Constraints } from "./constraints.ts";
import { encodeOp, invalid } from "./op-encoding.ts";
import type { EncodeContext, EncodedVertex, LlbVertex, Output } from "./vertex.ts";

/** Lays the inputs over each other, the last one on top. */
export class MergeVertex implements LlbVertex {
  readonly inputs: readonly Output[];
  readonly #constraints: Constraints;

  constructor(inputs: readonly Output[], constraints: Constraints) {
    if (inputs.length < 2) throw invalid("merge must have at least 2 inputs");
    this.inputs = inputs;
    this.#constraints = constraints;
  }

  encode(context: EncodeContext): EncodedVertex {
    return encodeOp(context, {
      op: { case: "merge", value: { inputs: this.inputs.map((_, i) => ({ input: BigInt(i) })) } },
      inputs: this.inputs.map((input) => context.input(input)),
      constraints: this.#constraints,
      caps: ["mergeop"],
      platformSpecific: false,
    });
  }
}

/** What `upper` has changed upon `lower`. */
export class DiffVertex implements LlbVertex {
  readonly inputs: readonly Output[];
  readonly #lower: Output | undefined;
  readonly #upper: Output | undefined;
  readonly #constraints: Constraints;

  constructor(sides: { readonly lower: Output | undefined; readonly upper: Output | undefined }, c: Constraints) {
    this.#lower = sides.lower;
    this.#upper = sides.upper;
    this.#constraints = c;
    this.inputs = [sides.lower, sides.upper].filter((side) => side !== undefined);
  }

  encode(context: EncodeContext): EncodedVertex {
    const lower = this.#lower === undefined ? -1n : 0n;
    const upper = this.#upper === undefined ? -1n : BigInt(this.#lower === undefined ? 0 : 1);
    return encodeOp(context, {
      op: { case: "diff", value: { lower: { input: lower }, upper: { input: upper } } },
      // Not deduplicated: a diff of a state with itself has two inputs.
      inputs: this.inputs.map((input) => context.input(input)),
      constraints: this.#constraints,
      caps: ["diffop"],
      platformSpecific: false,
    });
  }
}

/** Gives its first input on, after all of them are built. */
export class PassthroughVertex implements LlbVertex {
  readonly inputs: readonly Output[];
  readonly #id: string;
  readonly #constraints: Constraints;

  constructor(id: string, inputs: readonly Output[], constraints: Constraints) {
    if (inputs.length === 0) throw invalid("passthrough must have at least one input");
    if (id === "") throw invalid("passthrough requires an id");
    this.#id = id;
    this.inputs = inputs;
    this.#constraints = constraints;
  }

  encode(context: EncodeContext): EncodedVertex {
    return encodeOp(context, {
      op: { case: "passthrough", value: { id: this.#id, outputs: [0n] } },
      inputs: this.inputs.map((input) => context.input(input)),
      constraints: this.#constraints,
      caps: ["passthroughop"],
      platformSpecific: false,
    });
  }
}

/** Builds the definition that a file of its input holds. */
export class BuildVertex implements LlbVertex {
  readonly inputs: readonly Output[];
  readonly #filename: string;
  readonly #constraints: Constraints;

  constructor(source: Output, filename: string, constraints: Constraints) {
    this.inputs = [source];
    this.#filename = filename;
    this.#constraints = constraints;
  }

  encode(context: EncodeContext): EncodedVertex {
    const value = {
      // The builder that takes LLB as it is.
      builder: -1n,
      inputs: { "buildkit.llb.definition": { input: 0n } },
      attrs: this.#filename === "" ? {} : { "llbbuild.filename": this.#filename },
    };
    return encodeOp(context, {
      op: { case: "build", value },
      inputs: this.inputs.map((input) => context.input(input)),
      constraints: this.#constraints,
      caps: ["source.buildop.llbfilename"],
      platformSpecific: true,
    });
  }
}
