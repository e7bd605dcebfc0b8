import { setImmediate as drained } from "node:timers/promises";

import { restartTurn } from "../shared-task.ts";

/** So often nobody may be waiting before it is clear that nobody ever will. */
const maxIdleTurns = 64;

/**
 * Lets those who wait go on one after the other, in an order that a seed decides.
 *
 * Between two turns everything that can go on by itself does, so that a seed stands for one interleaving.
 */
export class Turns {
  readonly #waiting: (() => void)[] = [];
  #state: number;
  /** Turns that were given so far. */
  passed = 0;

  constructor(seed: number) {
    this.#state = seed >>> 0;
    restartTurn(seed);
  }

  /** A number in [0, 1), the same ones for the same seed. */
  random(): number {
    // Marsaglia's xorshift, after a step that leaves zero.
    let x = (this.#state + 0x9e3779b9) >>> 0;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state / 2 ** 32;
  }

  /** Waits for a turn. */
  async take(): Promise<void> {
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Waits until so many turns have passed. */
  async until(turn: number): Promise<void> {
    while (this.passed < turn) await this.take();
  }

  /** Gives turns until the work has ended. @throws when it waits for what will never come. */
  async finish<T>(work: Promise<T>): Promise<T> {
    let ended = false;
    const done = (): void => {
      ended = true;
    };
    work.then(done, done);
    for (let idle = 0; !ended; ) {
      await drained();
      const index = Math.floor(this.random() * this.#waiting.length);
      const [next] = this.#waiting.splice(index, 1);
      if (next === undefined && !ended && ++idle > maxIdleTurns)
        throw new Error("The work waits for nothing: a deadlock");
      if (next === undefined) continue;
      idle = 0;
      this.passed += 1;
      next();
    }
    return await work;
  }
}
