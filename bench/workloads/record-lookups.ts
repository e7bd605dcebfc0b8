import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { copy, encodeDefinition, mkfile, type State, scratch } from "../../packages/llb/src/index.ts";
import type { Contender, Workload } from "../workload.ts";
import { collectAll } from "./graphs.ts";

/** How many of the records one build looks for. */
const lookups = 50;

/**
 * A step that was executed for many different inputs has one definition and many records: builds whose inputs are made in a new
 * way, with bytes that are known, must find theirs among them by these bytes.
 */
export function recordLookupsWorkload(records: number): Workload {
  return {
    name: `${lookups} lookups among ${records.toLocaleString("en")} records of one step`,
    setup: async (contender): Promise<void> => {
      await solve(
        contender,
        Array.from({ length: records }, (_, index) => step(index, "first")),
      );
    },
    prepare: async (contender, run): Promise<void> => {
      const stride = Math.floor(records / lookups);
      const made = `${Date.now()} ${run}`;
      write(
        contender,
        Array.from({ length: lookups }, (_, index) => step(index * stride + (run % stride), made)),
      );
    },
    run: async (contender): Promise<void> => await contender.client.solve(fileOf(contender)),
    check: async (contender): Promise<void> => await contender.client.prune(),
  };
}

/** The copy of a file whose bytes the number decides, out of a tree whose definition nobody has seen. */
function step(number: number, made: string): State {
  const tree = scratch().file(
    mkfile("/file", `${number}`, { mode: 0o644 }).mkfile("/made", `${made} ${number}`, { mode: 0o644 }),
  );
  return scratch().file(copy(tree, { src: "/file", dest: "/copy" }));
}

async function solve(contender: Contender, steps: readonly State[]): Promise<void> {
  write(contender, steps);
  await contender.client.solve(fileOf(contender));
}

function write(contender: Contender, steps: readonly State[]): void {
  writeFileSync(fileOf(contender), encodeDefinition(collectAll(steps).marshal()));
}

function fileOf({ directory }: Contender): string {
  return join(directory, "records.llb");
}
