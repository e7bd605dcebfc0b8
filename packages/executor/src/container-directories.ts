import { lstatSync } from "node:fs";
import { mkdir, readdir, rm, rmdir, unlink } from "node:fs/promises";
import { join } from "node:path";
import { BuildError } from "@buildkit-ts/errdefs";
import { readMountInfo, unmountBelow } from "@buildkit-ts/mount";
import type { OciRuntime } from "./oci-runtime.ts";

/** Where the runtime keeps its own state, among the containers. */
const stateName = "runtime";

/**
 * The directories of an executor's containers.
 *
 *     <path>/<id>/            config.json, rootfs/, mount points, pid; gone after the step
 *     <path>/runtime/<id>/    what the runtime knows of it
 *
 * Ids become parts of paths: whoever takes one from others checks it by {@linkcode checkContainerId}.
 */
export class ContainerDirectories {
  readonly path: string;
  readonly #runtime: OciRuntime;

  constructor(path: string, runtime: OciRuntime) {
    this.path = path;
    this.#runtime = runtime;
  }

  /** @param path As given to the constructor. */
  static stateOf(path: string): string {
    return join(path, stateName);
  }

  bundleOf(id: string): string {
    return join(this.path, id);
  }

  /** Makes a container's directory. Disposing removes it. */
  async makeBundle(id: string): Promise<AsyncDisposable & { readonly path: string }> {
    return await makeOwnDirectory(this.bundleOf(id), 0o711);
  }

  /** Whether something of a container that has ended may be left. */
  mayRemain(id: string): boolean {
    return mayExist(this.bundleOf(id)) || mayExist(this.#stateOf(id));
  }

  /** Removes all that a container may have left. */
  async removeLeftover(id: string): Promise<void> {
    if (mayExist(this.#stateOf(id))) await this.#removeState(id);
    await unmountAllBelow(this.bundleOf(id));
    await rm(this.bundleOf(id), { recursive: true, force: true });
  }

  /** Removes all that containers of an earlier process have left. */
  async removeAll(): Promise<void> {
    for (const id of await readdir(ContainerDirectories.stateOf(this.path))) await this.#removeState(id);
    await unmountAllBelow(this.path);
    for (const name of await readdir(this.path)) {
      if (name !== stateName) await rm(join(this.path, name), { recursive: true, force: true });
    }
  }

  #stateOf(id: string): string {
    return join(ContainerDirectories.stateOf(this.path), id);
  }

  async #removeState(id: string): Promise<void> {
    await this.#runtime.run(["delete", "--force", id], { logPath: join(this.path, "cleanup.log") });
    await rm(this.#stateOf(id), { recursive: true, force: true });
  }
}

/** Makes a directory for some files. Disposing removes it, without going into directories that are not empty. */
export async function makeOwnDirectory(
  path: string,
  mode: number,
): Promise<AsyncDisposable & { readonly path: string }> {
  await mkdir(path, { mode });
  return { path, [Symbol.asyncDispose]: async () => await removeFlat(path) };
}

/** Never recursively: if something is still mounted in it, its content would be deleted. */
async function removeFlat(directory: string): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) await rmdir(path);
    else await unlink(path);
  }
  await rmdir(directory);
}

/** @throws {BuildError} `failed_precondition` if something stays mounted: removing through it would delete what is mounted. */
async function unmountAllBelow(directory: string): Promise<void> {
  await unmountBelow(directory);
  const left = readMountInfo().find(({ mountPoint }) => mountPoint.startsWith(`${directory}/`));
  if (left === undefined) return;
  throw new BuildError("failed_precondition", `Cannot clean up "${directory}": "${left.mountPoint}" is mounted`);
}

/** Where that cannot be told, something may be there. */
function mayExist(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch {
    return true;
  }
}

/** @throws {BuildError} `invalid_argument`, for what may not be a container's id. */
export function checkContainerId(id: string): void {
  // It becomes a directory's name and a cgroup's.
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/.test(id) || id === stateName) {
    throw new BuildError("invalid_argument", `invalid container ID ${JSON.stringify(id.slice(0, 200))}`);
  }
}
