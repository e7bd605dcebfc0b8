import type { Client } from "./client.ts";

/** One of the two daemons that are compared. */
export interface Contender {
  readonly name: "ours" | "peer";
  readonly client: Client;
  readonly pid: number;
  /** A folder for this contender's contexts and results; both get the same inputs at different paths. */
  readonly directory: string;
}

/**
 * Something that both daemons are asked to do.
 *
 *     setup() ──▶ { prepare() ──▶ run() } × runs ──▶ check()
 *
 * Only `run` is timed. Numbers given to `prepare` and `run` count from 0 and are the same for both contenders.
 */
export interface Workload {
  readonly name: string;
  setup(contender: Contender): Promise<void>;
  prepare?(contender: Contender, run: number): Promise<void>;
  run(contender: Contender, run: number): Promise<void>;
  /** Throws if what the last run made is wrong. */
  check?(contender: Contender, lastRun: number): Promise<void>;
}
