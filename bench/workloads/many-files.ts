import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { checkTree } from "../checks.ts";
import { writeDockerfile, writeManyFiles } from "../contexts.ts";
import { runCommand } from "../run-command.ts";
import type { Contender, Workload } from "../workload.ts";

/** Workloads on a context of many files. */
export function manyFilesWorkloads(files: number): Workload[] {
  const count = files.toLocaleString("en");
  const tree = ({ directory }: Contender): string => join(directory, `many-files-${files}`);
  const recipe = ({ directory }: Contender): string => join(directory, `many-files-${files}-recipe`);
  const request = (contender: Contender): { readonly context: string; readonly dockerfile: string } => ({
    context: tree(contender),
    dockerfile: recipe(contender),
  });
  const setup = async (contender: Contender): Promise<void> => {
    rmSync(tree(contender), { recursive: true, force: true });
    writeManyFiles(tree(contender), files);
    writeDockerfile(recipe(contender), "FROM scratch", "COPY . /");
    await contender.client.build(request(contender));
  };
  // The daemons know a context again by its path, and its layer by its content.
  const moved = (contender: Contender, run: number): string => join(contender.directory, `many-files-${files}-${run}`);
  const check = async (contender: Contender): Promise<void> =>
    await checkTree(contender, request(contender), tree(contender));
  return [
    {
      name: `${count}-file context, first`,
      setup,
      prepare: async (contender, run): Promise<void> => {
        rmSync(moved(contender, run - 1), { recursive: true, force: true });
        rmSync(moved(contender, run), { recursive: true, force: true });
        await runCommand("cp", ["-a", tree(contender), moved(contender, run)]);
      },
      run: async (contender, run): Promise<void> =>
        await contender.client.build({ context: moved(contender, run), dockerfile: recipe(contender) }),
      check: async (contender, last): Promise<void> => {
        await check(contender);
        rmSync(moved(contender, last), { recursive: true, force: true });
      },
    },
    {
      name: `${count}-file context, unchanged`,
      setup,
      run: async (contender): Promise<void> => await contender.client.build(request(contender)),
      check,
    },
    {
      name: `${count}-file context, one changed`,
      setup,
      prepare: async (contender, run): Promise<void> =>
        writeFileSync(join(tree(contender), "package-7/module-47/file-11.txt"), `changed ${run} ${Date.now()}`),
      run: async (contender): Promise<void> => await contender.client.build(request(contender)),
      check,
    },
    {
      name: `COPY of ${count} files`,
      setup,
      run: async (contender): Promise<void> => await contender.client.build({ ...request(contender), noCache: true }),
      check,
    },
  ];
}
