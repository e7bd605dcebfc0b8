import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ContainerMount } from "@buildkit-ts/executor";

/** Files of the daemon's own that a container can read. */
export interface ContainerFiles {
  /** The directory in the container. */
  readonly destination: string;
  /** By name. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** A directory of files on its way into a container. */
export class ReadonlyFiles implements AsyncDisposable {
  readonly mount: ContainerMount;
  readonly #directory: string;

  private constructor(directory: string, destination: string) {
    this.#directory = directory;
    this.mount = {
      destination,
      mounts: [{ type: "bind", source: directory, options: ["rbind", "ro", "nosuid", "nodev", "noexec"] }],
      readonly: true,
    };
  }

  static async create(
    { destination, files }: ContainerFiles,
    options: { readonly temporaryDirectory: string },
  ): Promise<ReadonlyFiles> {
    await using stack = new AsyncDisposableStack();
    const directory = await mkdtemp(join(options.temporaryDirectory, "files-"));
    const made = stack.use(new ReadonlyFiles(directory, destination));
    await chmod(directory, 0o755);
    for (const [name, data] of files) await writeFile(join(directory, name), data, { mode: 0o444, flag: "wx" });
    stack.move();
    return made;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true });
  }
}
