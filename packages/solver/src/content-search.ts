import type { EdgeKeys } from "./edge-keys.ts";
import { inputResult } from "./input-result.ts";
import type { ResolverInput } from "./resolver-input.ts";
import type { Scope } from "./scope.ts";
import type { VertexNode } from "./vertex-node.ts";

/** Looks for keys of one edge by the content of its inputs: in the order of what that costs, until there is a record. */
export class ContentSearch {
  readonly #node: VertexNode;
  readonly #keys: EdgeKeys;
  readonly #scope: Scope;
  readonly #onDeadEnd: () => void;

  /** @param options.onDeadEnd Called when an input leads nowhere: no key can match then, and all inputs will be needed. */
  constructor(
    node: VertexNode,
    keys: EdgeKeys,
    { scope, onDeadEnd }: { readonly scope: Scope; readonly onDeadEnd: () => void },
  ) {
    this.#node = node;
    this.#keys = keys;
    this.#scope = scope;
    this.#onDeadEnd = onDeadEnd;
  }

  async run(): Promise<void> {
    const { inputs, search } = this.#keys;
    if (this.#node.ignoresCache || search.records.size > 0) return;
    const open = inputs.filter(({ state }) => !state.hasCandidates);
    if (open.length > 0) {
      await Promise.all(open.map(async (input) => await this.#widen(input)));
      if (open.some(({ state }) => !state.hasCandidates)) return;
      await search.match();
      if (search.records.size > 0) return;
    }
    const rest = inputs.filter((input) => !open.includes(input));
    await Promise.all(rest.map(async (input) => await this.#probeSlow(input)));
    await search.match();
    if (search.records.size > 0) return;
    await Promise.all(inputs.map(async (input) => await this.#probeContent(input)));
    await search.match();
  }

  /** Looks for keys that an input leads to, in the order of what they cost, until there is one. */
  async #widen(input: ResolverInput): Promise<void> {
    await this.#probeSlow(input);
    if (input.state.hasCandidates) return;
    await this.#probeContent(input);
    if (!input.state.hasCandidates) this.#onDeadEnd();
  }

  async #probeSlow(input: ResolverInput): Promise<void> {
    await input.edge.findSlow(this.#scope);
    await this.#keys.probe(input);
  }

  async #probeContent(input: ResolverInput): Promise<void> {
    const hasContent = this.#keys.cacheMap?.deps[input.state.index]?.computeContentDigest !== undefined;
    if (!input.state.isWidened && hasContent) await inputResult(this.#node, this.#keys, { input, scope: this.#scope });
  }
}
