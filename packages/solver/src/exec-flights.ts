import type { Scope } from "./scope.ts";
import { SharedTask } from "./shared-task.ts";
import type { Result } from "./types.ts";
import type { VertexNode } from "./vertex-node.ts";

interface ExecFlight {
  readonly owner: VertexNode;
  readonly task: SharedTask<Result[]>;
  users: number;
  /** The end of an execution that nobody uses any more: it may still be stopping. */
  ending: Promise<void> | undefined;
}

/** Says that a result was recorded since the caller last looked: it can be loaded, nothing need be executed. */
export class RecordedMeanwhile extends Error {
  override readonly name = "RecordedMeanwhile";
}

/** A hold on an execution. The results are the holder's own; the keys stay locked until the hold is released. */
export interface ExecHold {
  readonly results: Result[];
  release(): Promise<void>;
}

/**
 * Executions that go on, by the keys that their results will have.
 *
 * Two vertices may differ in their definitions and still have equal keys. The second one does not execute: it waits for
 * the first, shows its progress as its own, and takes its results. The keys stay locked until the first one's record is
 * stored, and whoever gets the lock then looks for it before executing: so nothing is executed twice.
 */
export class ExecFlights {
  readonly #flights = new Map<string, ExecFlight>();
  #ended = 0;

  /** How many executions have ended. Who has looked for records at this count need not look again. */
  get ended(): number {
    return this.#ended;
  }

  async run(
    node: VertexNode,
    options: { readonly lock: string; readonly scope: Scope; readonly work: (scope: Scope) => Promise<Result[]> },
  ): Promise<ExecHold> {
    const { lock, scope, work } = options;
    const held = await this.#join(lock, { owner: node, scope, work });
    const leave = held.owner === node ? undefined : node.follow(held.owner);
    const release = async (): Promise<void> => {
      held.users -= 1;
      if (held.users > 0) return;
      held.ending = this.#end(lock, held);
      await held.ending;
    };
    try {
      const results = await held.task.run(scope);
      return { results: results.map((result) => result.clone()), release };
    } catch (error) {
      await release();
      throw error;
    } finally {
      leave?.();
    }
  }

  /** Gives no one what turned out to be lost, although whoever has executed it still records it. */
  forget(lost: Result): void {
    for (const [lock, { task }] of this.#flights)
      if (task.done?.value.some(({ id }) => id === lost.id) === true) this.#flights.delete(lock);
  }

  async #join(
    lock: string,
    options: {
      readonly owner: VertexNode;
      readonly scope: Scope;
      readonly work: (scope: Scope) => Promise<Result[]>;
    },
  ): Promise<ExecFlight> {
    for (;;) {
      const known = this.#flights.get(lock);
      // A step that was canceled may still write where the next one would.
      if (known?.ending === undefined) {
        const task = new SharedTask(options.work);
        const flight = known ?? { owner: options.owner, task, users: 0, ending: undefined };
        this.#flights.set(lock, flight);
        flight.users += 1;
        return flight;
      }
      await known.ending;
      options.scope.throwIfAborted();
    }
  }

  async #end(lock: string, flight: ExecFlight): Promise<void> {
    this.#ended += 1;
    await flight.task.ended;
    if (this.#flights.get(lock) === flight) this.#flights.delete(lock);
    for (const result of flight.task.done?.value ?? []) await result[Symbol.asyncDispose]();
  }
}
