import { join } from "node:path";
import { manyStages, writeShellContext } from "../contexts.ts";
import { runCommand } from "../run-command.ts";
import type { Contender, Workload } from "../workload.ts";

const sequentialSteps = 30;
const parallelSteps = 16;
const builds = 10;
const stagesOfLongFile = 200;

/** A context whose build finds all steps cached, from the second time on. */
export async function writeNoOpContext({ directory }: Contender): Promise<string> {
  const steps = Array.from({ length: sequentialSteps }, (_, step) => `RUN true # ${step}`);
  return writeShellContext(join(directory, "resting"), await findBusybox(), steps);
}

/** The host's static shell. */
export async function findBusybox(): Promise<string> {
  return (await runCommand("sh", ["-c", "command -v busybox"])).trim();
}

/** Workloads whose cost is that of starting and ending steps and builds. */
export async function stepWorkloads(): Promise<Workload[]> {
  const busybox = await findBusybox();
  const shell = (contender: Contender, name: string, lines: readonly string[]): string =>
    writeShellContext(join(contender.directory, name), busybox, lines);
  const folder = ({ directory }: Contender, name: string): string => join(directory, name);
  const repeated = Array.from({ length: sequentialSteps }, (_, step) => `RUN true # ${step}`);
  const stages = Array.from({ length: parallelSteps }, (_, step) => [
    `FROM base AS sleep${step}`,
    `RUN sleep 1 && echo ${step} > /done${step}`,
  ]).flat();
  const collected = Array.from({ length: parallelSteps }, (_, step) => `COPY --from=sleep${step} /done${step} /`);
  return [
    {
      name: "no-op rebuild",
      setup: async (contender): Promise<void> =>
        await contender.client.build({ context: shell(contender, "no-op", repeated) }),
      run: async (contender): Promise<void> => await contender.client.build({ context: folder(contender, "no-op") }),
    },
    {
      name: `${sequentialSteps} sequential RUN true`,
      setup: async (contender): Promise<void> => void shell(contender, "sequential", repeated),
      run: async (contender): Promise<void> =>
        await contender.client.build({ context: folder(contender, "sequential"), noCache: true }),
    },
    {
      name: `${parallelSteps} parallel RUN sleep 1`,
      setup: async (contender): Promise<void> =>
        void shell(contender, "parallel", [...stages, "FROM scratch", ...collected]),
      run: async (contender): Promise<void> =>
        await contender.client.build({ context: folder(contender, "parallel"), noCache: true }),
    },
    {
      name: `${builds} concurrent builds`,
      setup: async (contender): Promise<void> => {
        for (let number = 0; number < builds; number++) {
          shell(contender, `concurrent-${number}`, [`RUN echo ${number} > /made`, "RUN cat /made"]);
        }
      },
      run: async (contender): Promise<void> => {
        const one = async (number: number): Promise<void> =>
          await contender.client.build({ context: folder(contender, `concurrent-${number}`), noCache: true });
        await Promise.all(Array.from({ length: builds }, async (_, number) => await one(number)));
      },
    },
    {
      name: `Dockerfile of ${stagesOfLongFile} stages and 2,000 lines, checked`,
      setup: async (contender): Promise<void> => void shell(contender, "checked-stages", manyStages(stagesOfLongFile)),
      run: async (contender): Promise<void> =>
        await contender.client.build({ context: folder(contender, "checked-stages"), checks: true }),
    },
    {
      name: `Dockerfile of ${stagesOfLongFile} stages and 2,000 lines, cached`,
      setup: async (contender): Promise<void> => {
        const context = shell(contender, "many-stages", manyStages(stagesOfLongFile));
        await contender.client.build({ context });
      },
      run: async (contender): Promise<void> =>
        await contender.client.build({ context: folder(contender, "many-stages") }),
    },
  ];
}
