import type { EdgeResult } from "./edge-result.ts";

/** How often a result is obtained anew because it could not be used; each time costs a record, so this is hardly met. */
const maxRewinds = 16;
/** How often if the result was executed: each time costs an execution. */
const maxExecutions = 3;

/** What an edge has lost so far. A result that was obtained anew and is lost again is lost for good. */
export class SeenLosses {
  readonly #seen = new Set<string>();
  #executed = 0;

  /** Notes a loss. @returns Whether to obtain the result anew may help. */
  admit({ result, record }: EdgeResult): boolean {
    if (record === undefined && !this.admitExecution()) return false;
    const name = `${record?.store.id} ${record?.record.id} ${result.id}`;
    if (this.#seen.has(name) || this.#seen.size >= maxRewinds) return false;
    this.#seen.add(name);
    return true;
  }

  /** Notes an execution that was in vain. @returns Whether another one may help. */
  admitExecution(): boolean {
    this.#executed += 1;
    return this.#executed <= maxExecutions;
  }
}
