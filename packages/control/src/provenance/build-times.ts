import { randomUUID } from "node:crypto";

/** When a build ran, and what it is called in all its documents. */
export class BuildTimes {
  readonly invocationId: string = randomUUID();
  readonly startedAt: number = Date.now();
  #finishedAt: number | undefined;

  /** When the build was done: the first time that anybody asked. */
  finish(): number {
    this.#finishedAt ??= Date.now();
    return this.#finishedAt;
  }
}
