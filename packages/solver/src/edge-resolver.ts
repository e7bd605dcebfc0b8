import { ContentSearch } from "./content-search.ts";
import { EdgeInput } from "./edge-input.ts";
import { EdgeKeys } from "./edge-keys.ts";
import type { EdgeResult } from "./edge-result.ts";
import { executeEdge } from "./execute-edge.ts";
import type { FoundRecords } from "./found-records.ts";
import { inputResult } from "./input-result.ts";
import { loadFound } from "./load-found.ts";
import { LostInputs } from "./loss.ts";
import type { InputEdge } from "./resolver-input.ts";
import { type RewindableEdge, rewindEdge } from "./rewind-edge.ts";
import { rewindInputs } from "./rewind-inputs.ts";
import type { Scope } from "./scope.ts";
import { SeenLosses } from "./seen-losses.ts";
import { type BegunWork, SharedTask } from "./shared-task.ts";
import type { SolverKey } from "./solver-key.ts";
import type { PrepareResult } from "./types.ts";
import type { VertexNode } from "./vertex-node.ts";

/**
 * One output of a vertex on its way to a result.
 *
 *     fast ──▶ slow ──▶ complete
 *                ▲          │
 *                └─ rewind ─┘
 *
 * *fast* looks for keys by definition: the keys of the inputs, without results. *slow* looks for more by the content of
 * inputs, which needs their results, but not this edge's own. *complete* loads what was found, or executes. Keys only ever
 * come in addition, so an edge that was asked for less goes on where it stopped. A result that turns out to be lost when it
 * is used is obtained anew: from another record, or by executing.
 */
export class EdgeResolver implements InputEdge, RewindableEdge {
  readonly node: VertexNode;
  readonly index: number;
  readonly #fast: SharedTask<void>;
  // In a large graph that is found, most edges are never asked for more than their keys.
  #slow: SharedTask<void> | undefined;
  #complete: SharedTask<EdgeResult> | undefined;
  readonly #keys: EdgeKeys;
  #completing: { readonly scope: Scope; readonly fail: (error: unknown) => void; begun: boolean } | undefined;

  constructor(node: VertexNode, index: number) {
    this.node = node;
    this.index = index;
    const inputs = node.inputs.map((edge, i) => ({ edge, state: new EdgeInput(i) }));
    this.#keys = new EdgeKeys(node, index, inputs);
    this.#fast = new SharedTask(async (scope) => await this.#findFast(scope));
  }

  get keys(): readonly SolverKey[] {
    return this.#keys.known;
  }

  get records(): FoundRecords {
    return this.#keys.search.records;
  }

  get completed(): EdgeResult | undefined {
    return this.#complete?.done?.value;
  }

  get inputEdges(): readonly RewindableEdge[] {
    return this.node.inputs;
  }

  get isFast(): boolean {
    return this.#fast.done !== undefined;
  }

  /** Does what {@linkcode EdgeResolver.findFast} does, if nobody has to be waited for. */
  findFastNow(): void {
    if (this.#fast.isIdle && this.#keys.findNow()) this.#fast.finish(undefined);
  }

  findFast(scope: Scope): Promise<void> {
    return this.#fast.run(scope);
  }

  findSlow(scope: Scope): Promise<void> {
    this.#slow ??= new SharedTask(async (own) => await this.#findSlow(own));
    return this.#slow.run(scope);
  }

  complete(scope: Scope): Promise<EdgeResult> {
    this.#complete ??= new SharedTask(async (own) => await this.#finish(own));
    return this.#complete.run(scope);
  }

  /** The result, made ready for use. One that cannot be is lost, and obtained anew as long as there is another way to it. */
  async completePrepared(scope: Scope, prepare: PrepareResult): Promise<EdgeResult> {
    for (const losses = new SeenLosses(); ; ) {
      const completed = await this.complete(scope);
      try {
        await prepare(completed.result, this.node.context(scope));
        return completed;
      } catch (error) {
        scope.throwIfAborted();
        if (!losses.admit(completed) || !(await this.rewind(completed, error))) throw error;
      }
    }
  }

  async rewind(lost: EdgeResult, error: unknown): Promise<boolean> {
    return await rewindEdge({ edge: this, result: lost }, error);
  }

  forgetResult(): void {
    this.#complete?.reset();
  }

  /** Everything that was begun for the edge. */
  *tasks(): Generator<BegunWork, void> {
    yield this.#fast;
    if (this.#slow !== undefined) yield this.#slow;
    if (this.#complete !== undefined) yield this.#complete;
  }

  get #isSource(): boolean {
    return this.node.inputs.length === 0;
  }

  async #findFast(scope: Scope): Promise<void> {
    if (this.#isSource) await this.#keys.findSource(scope);
    else await this.#keys.findByDefinition(scope);
  }

  async #findSlow(scope: Scope): Promise<void> {
    await this.#fast.run(scope);
    await new ContentSearch(this.node, this.#keys, { scope, onDeadEnd: () => this.#prefetch() }).run();
  }

  /** Begins with all inputs, if the result is wanted: no key can match, so all of them will be needed. */
  #prefetch(): void {
    const completing = this.#completing;
    if (completing === undefined || completing.begun) return;
    completing.begun = true;
    for (const edge of this.node.inputs) edge.complete(completing.scope).catch(completing.fail);
  }

  async #finish(scope: Scope): Promise<EdgeResult> {
    const { promise: failed, reject: fail } = Promise.withResolvers<never>();
    failed.catch(() => undefined);
    this.#completing = { scope, fail, begun: false };
    try {
      return await Promise.race([this.#obtain(scope), failed]);
    } finally {
      this.#completing = undefined;
    }
  }

  async #obtain(scope: Scope): Promise<EdgeResult> {
    await this.#fast.run(scope);
    const fast = await this.#load(scope, false);
    if (fast !== undefined) return fast;
    if (this.#isSource) return await this.#obtainSource(scope);
    await this.findSlow(scope);
    const slow = await this.#load(scope, true);
    if (slow !== undefined) return slow;
    for (let others: SeenLosses | undefined; ; ) {
      const inputs = await Promise.all(
        this.#keys.inputs.map(async (input) => await inputResult(this.node, this.#keys, { input, scope })),
      );
      await this.#keys.lookFinally();
      try {
        return (await this.#load(scope, true)) ?? (await this.#execute(inputs, scope));
      } catch (error) {
        scope.throwIfAborted();
        if (!(error instanceof LostInputs)) throw error;
        others ??= new SeenLosses();
        await rewindInputs(this.node, { inputs: this.#keys.inputs, used: inputs, lost: error, others });
      }
    }
  }

  async #obtainSource(scope: Scope): Promise<EdgeResult> {
    this.#keys.noteLook();
    while (!this.#keys.isSourceDone) {
      await this.#keys.findSource(scope);
      const found = await this.#load(scope, false);
      if (found !== undefined) return found;
    }
    return await this.#execute([], scope);
  }

  async #load(scope: Scope, keepLinks: boolean): Promise<EdgeResult | undefined> {
    return await loadFound(this.node, this.#keys, { scope, keepLinks });
  }

  async #execute(inputs: readonly EdgeResult[], scope: Scope): Promise<EdgeResult> {
    return await executeEdge({ node: this.node, index: this.index, keys: this.#keys, inputs }, scope);
  }
}
