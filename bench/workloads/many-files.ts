import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { checkTree } from "../checks.ts";
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
      setup,
      // Another folder would not do: buildctl's sessions name none, and the files would be known by their metadata. The
      // layer stays, and is found by the files' content.
      prepare: async (contender): Promise<void> => await contender.client.forgetContexts(),
      run: async (contender): Promise<void> => await contender.client.build(request(contender)),
      check,
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
