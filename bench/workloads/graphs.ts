import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { copy, encodeDefinition, mkfile, type State, scratch } from "../../packages/llb/src/index.ts";
import type { Contender, Workload } from "../workload.ts";

/** How many trees one collector copies from. */
const fan = 100;

/** Workloads whose cost is that of the solver: graphs of small file operations, built and found again. */
export function graphWorkloads(vertices: number): Workload[] {
  return Object.entries(shapes).flatMap(([shape, grow]) => [
    coldWorkload(`${vertices.toLocaleString("en")}-vertex graph, ${shape}`, (seed) => grow(vertices, seed)),
    cachedWorkload(`${vertices.toLocaleString("en")}-vertex graph, ${shape}, cached`, grow(vertices, "cached")),
  ]);
}

/** Each vertex is one layer upon nothing, so that no depth meets the kernel's limit of an overlay's layers. */
const shapes = { wide, deep, diamonds } as const;

function wide(vertices: number, seed: string): State {
  return collectAll(Array.from({ length: vertices }, (_, index) => leaf(`${seed} ${index}`)));
}

/** One tree of copies of all, by steps of which none copies from more than a hundred. */
export function collectAll(trees: readonly State[]): State {
  let states = trees;
  while (states.length > 1) {
    const groups = Math.ceil(states.length / fan);
    states = Array.from({ length: groups }, (_, group) => collect(states.slice(group * fan, (group + 1) * fan)));
  }
  return states[0] ?? scratch();
}

function deep(vertices: number, seed: string): State {
  let state = leaf(seed);
  for (let depth = 1; depth < vertices; depth++) state = collect([state]);
  return state;
}

function diamonds(vertices: number, seed: string): State {
  let [left, right] = [leaf(`${seed} left`), leaf(`${seed} right`)];
  for (let made = 2; made + 3 <= vertices; made += 3) {
    const both = collect([left, right]);
    [left, right] = [collect([both], "left"), collect([both], "right")];
  }
  return collect([left, right]);
}

function leaf(text: string): State {
  return scratch().file(mkfile("/file", text, { mode: 0o644 }));
}

function collect(sources: readonly State[], name = "file"): State {
  const [first = scratch(), ...others] = sources;
  let action = copy(first, { src: "/*", dest: `/${name}` }, { allowWildcard: true });
  for (const source of others) action = action.copy(source, { src: "/*", dest: `/${name}` }, { allowWildcard: true });
  return scratch().file(action);
}

function coldWorkload(name: string, grow: (seed: string) => State): Workload {
  return {
    name,
    setup: async (): Promise<void> => undefined,
    prepare: async (contender, run): Promise<void> => write(contender, grow(`${Date.now()} ${run}`)),
    run: async (contender): Promise<void> => await contender.client.solve(fileOf(contender)),
    check: async (contender): Promise<void> => await contender.client.prune(),
  };
}

function cachedWorkload(name: string, state: State): Workload {
  return {
    name,
    setup: async (contender): Promise<void> => {
      write(contender, state);
      await contender.client.solve(fileOf(contender));
    },
    run: async (contender): Promise<void> => await contender.client.solve(fileOf(contender)),
    check: async (contender): Promise<void> => await contender.client.prune(),
  };
}

function write(contender: Contender, state: State): void {
  writeFileSync(fileOf(contender), encodeDefinition(state.marshal()));
}

function fileOf({ directory }: Contender): string {
  return join(directory, "graph.llb");
}
