import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { checkTree } from "../checks.ts";
import type { BuildRequest } from "../client.ts";
import { writeDockerfile, writeManyFiles } from "../contexts.ts";
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
  /** As nobody has sent it before: a folder under its name is known by it. */
  const firstRequest = (contender: Contender, run: number | "setup"): BuildRequest => {
    const name = `first-${files}-${run}`;
    const context = writeDockerfile(join(contender.directory, name), "FROM scratch", "COPY --from=files . /");
    return { context, named: { name, folder: tree(contender) } };
  };
  const setup = async (contender: Contender): Promise<void> => {
    rmSync(tree(contender), { recursive: true, force: true });
    writeManyFiles(tree(contender), files);
    writeDockerfile(recipe(contender), "FROM scratch", "COPY . /");
    await contender.client.build(request(contender));
  };
  const check = async (contender: Contender): Promise<void> =>
    await checkTree(contender, request(contender), tree(contender));
  return [
    {
      name: `${count}-file context, first`,
      setup: async (contender): Promise<void> => {
        await setup(contender);
        await contender.client.build(firstRequest(contender, "setup"));
      },
      // What was sent is not removed: file systems without a journal search long for inodes that were not used lately, and
      // both daemons would be measured by that. The layer stays, and is found by the files' content.
      run: async (contender, run): Promise<void> => await contender.client.build(firstRequest(contender, run)),
      check: async (contender): Promise<void> => {
        await check(contender);
        await contender.client.prune();
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
