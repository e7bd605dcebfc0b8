import { readFileSync } from "node:fs";
import { join } from "node:path";
import { writeDockerfile, writeShellContext } from "../contexts.ts";
import type { Contender, Workload } from "../workload.ts";
import { findBusybox } from "./steps.ts";

const builds = 100;

/** Many clients that ask for the same at once: its steps must run once, for all of them. */
export async function identicalBuildsWorkload(): Promise<Workload> {
  const busybox = await findBusybox();
  const context = ({ directory }: Contender): string => join(directory, "identical");
  const output = ({ directory }: Contender, build: number): string => join(directory, `identical-${build}`);
  return {
    name: `${builds} concurrent identical builds`,
    setup: async (contender): Promise<void> => void writeShellContext(context(contender), busybox, []),
    prepare: async (contender, run): Promise<void> => {
      // Another step each time, and one whose second execution would give something else.
      const step = `RUN cat /proc/sys/kernel/random/uuid > /made # ${Date.now()} ${run}`;
      const base = ["FROM scratch AS base", "COPY bin /bin"];
      writeDockerfile(context(contender), ...base, step, "RUN sleep 1", "FROM scratch", "COPY --from=base /made /");
    },
    run: async (contender): Promise<void> => {
      const build = async (number: number): Promise<void> =>
        await contender.client.build({
          context: context(contender),
          output: `type=local,dest=${output(contender, number)}`,
        });
      await Promise.all(Array.from({ length: builds }, async (_, number) => await build(number)));
    },
    check: async (contender): Promise<void> => {
      const made = Array.from({ length: builds }, (_, number) =>
        readFileSync(join(output(contender, number), "made"), "utf8"),
      );
      if (new Set(made).size !== 1) throw new Error("Equal builds did not share one execution");
    },
  };
}
