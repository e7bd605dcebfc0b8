import { opspb } from "@buildkit-ts/api";
import { formatGoJson } from "@buildkit-ts/gotext";
import { digestOf } from "@buildkit-ts/oci";
import type { CacheMapAnswer, Op, Result, Vertex } from "@buildkit-ts/solver";
import { invalid } from "../definition/validate-op.ts";
import { goJson, goObject } from "../go-json.ts";

/** Gives its inputs as its outputs, under an identity of its own. */
export class PassthroughOperation implements Op {
  readonly isComputed = true;
  readonly #vertex: Vertex;
  readonly #op: opspb.PassthroughOp;

  constructor(vertex: Vertex, op: opspb.PassthroughOp) {
    this.#vertex = vertex;
    this.#op = op;
  }

  cacheMap(): CacheMapAnswer {
    const text = goObject([
      ["Type", formatGoJson("buildkit.passthrough.v0")],
      ["Passthrough", goJson(opspb.PassthroughOpSchema, this.#op)],
    ]);
    const deps = this.#vertex.inputs.map(() => ({}));
    return { cacheMap: { digest: digestOf(text), deps }, done: true };
  }

  async exec(inputs: readonly Result[]): Promise<Result[]> {
    return this.#op.outputs.map((input) => {
      const result = inputs[Number(input)];
      if (result === undefined) throw invalid(`invalid passthrough output input index ${input}`);
      return result.clone();
    });
  }
}
