import type { Constraints } from "./constraints.ts";
import { encodeOp, invalid, sourceOp } from "./op-encoding.ts";
import type { EncodeContext, EncodedVertex, LlbVertex, Output } from "./vertex.ts";

const platformSpecific = /^(?:docker-image|oci-layout):\/\//;

/** A source by its identifier and attributes. */
export class SourceVertex implements LlbVertex {
  readonly inputs: readonly Output[] = [];
  readonly #identifier: string;
  readonly #attrs: ReadonlyMap<string, string>;
  readonly #caps: readonly string[];
  readonly #constraints: Constraints;

  constructor(
    identifier: string,
    options: {
      readonly attrs: ReadonlyMap<string, string>;
      readonly caps: readonly string[];
      readonly constraints: Constraints;
    },
  ) {
    if (identifier === "") throw invalid("source identifier can't be empty");
    this.#identifier = identifier;
    this.#attrs = options.attrs;
    this.#caps = options.caps;
    this.#constraints = options.constraints;
  }

  encode(context: EncodeContext): EncodedVertex {
    // A local source that names no session is another one in each build: nothing may be found for it by definition.
    const unique = this.#identifier.startsWith("local://") && !this.#attrs.has("local.session");
    const attrs = unique ? new Map([...this.#attrs, ["local.unique", context.defaults.localUniqueId]]) : this.#attrs;
    return encodeOp(context, {
      op: { case: "source", value: sourceOp(this.#identifier, attrs) },
      inputs: [],
      constraints: this.#constraints,
      caps: unique ? [...this.#caps, "source.local.unique"] : this.#caps,
      platformSpecific: platformSpecific.test(this.#identifier),
    });
  }
}
