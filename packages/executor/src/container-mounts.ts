import { mkdir, rmdir, unlink, writeFile } from "node:fs/promises";
import { join, posix } from "node:path";
import { BuildError } from "@buildkit-ts/errdefs";
import { type Mount, mountAll, mountTemporarily, unmountAll } from "@buildkit-ts/mount";
import { errnoText, hasErrno, O_PATH, RootedDirectory } from "@buildkit-ts/sys";
import type { ContainerMount } from "./executor.ts";
import type { RuntimeMount } from "./runtime-spec.ts";

/** What the runtime is told to mount, parents before children. Disposing takes away what was mounted on the way. */
export interface ContainerMounts extends AsyncDisposable {
  readonly mounts: readonly RuntimeMount[];
}

/** What a runtime can tell the kernel at once: mount(2) takes a page, and cuts off what is longer. */
const maxOptionBytes = 4000;

/**
 * Prepares a step's mounts. The runtime mounts them itself, inside the container's namespace; mounted here first are only
 * selected parts of a tree, since the runtime knows no way to name a path beneath a mount, and trees of very many layers.
 *
 * @param directory Where mount points may be made.
 */
export async function prepareContainerMounts(
  mounts: readonly ContainerMount[],
  options: { readonly directory: string; readonly signal: AbortSignal },
): Promise<ContainerMounts> {
  await using stack = new AsyncDisposableStack();
  const prepared: RuntimeMount[] = [];
  for (const [index, mount] of mounts.entries()) {
    const directory = join(options.directory, `mount-${index}`);
    const list = canRuntimeMount(mount)
      ? mount.mounts
      : [stack.use(await mountSelected(mount, { ...options, directory })).mount];
    for (const part of list) prepared.push(createRuntimeMount(part, mount));
  }
  return {
    mounts: prepared,
    [Symbol.asyncDispose]: (
      (held) => async () =>
        await held.disposeAsync()
    )(stack.move()),
  };
}

function canRuntimeMount({ selector, mounts }: ContainerMount): boolean {
  return isWhole(selector) && mounts.every(({ options }) => Buffer.byteLength(options.join(",")) <= maxOptionBytes);
}

function isWhole(selector: string | undefined): boolean {
  return selector === undefined || posix.join("/", selector) === "/";
}

function createRuntimeMount(part: Mount, mount: ContainerMount): RuntimeMount {
  const options =
    mount.readonly && !part.options.includes("ro")
      ? [...part.options.filter((option) => option !== "rw"), "ro"]
      : part.options;
  return {
    destination: posix.join("/", mount.destination, part.target ?? ""),
    type: part.type,
    source: part.source,
    options,
  };
}

/** Mounts a tree and, from it, the selected path, found by descriptor: no link in the tree leads out of it. */
async function mountSelected(
  mount: ContainerMount,
  options: { readonly directory: string; readonly signal: AbortSignal },
): Promise<{ readonly mount: Mount } & AsyncDisposable> {
  const { directory, signal } = options;
  await mkdir(directory, { mode: 0o700 });
  await using stack = new AsyncDisposableStack();
  stack.defer(async () => await rmdir(directory));
  const tree = stack.use(
    await mountTemporarily(mount.mounts, { signal, parent: directory, onlyReads: mount.readonly }),
  );
  using root = RootedDirectory.open(tree.path);
  using selected = openSelected(root, mount);
  const target = join(directory, "selected");
  if (selected.stat().isDirectory()) {
    await mkdir(target);
    stack.defer(async () => await rmdir(target));
  } else {
    await writeFile(target, "", { flag: "wx" });
    stack.defer(async () => await unlink(target));
  }
  const bind = ["rbind", ...(mount.readonly ? ["ro"] : [])];
  await mountAll([{ type: "bind", source: `/proc/self/fd/${selected.fd}`, options: bind }], target, { signal });
  stack.defer(async () => await unmountAll(target));
  const held = stack.move();
  return {
    mount: { type: "bind", source: target, options: bind },
    [Symbol.asyncDispose]: async () => await held.disposeAsync(),
  };
}

function openSelected(root: RootedDirectory, mount: ContainerMount): ReturnType<RootedDirectory["open"]> {
  const selector = mount.selector ?? "/";
  try {
    return root.open(selector, O_PATH);
  } catch (error) {
    if (!hasErrno(error, "ENOENT", "ENOTDIR", "ELOOP", "EACCES", "ENAMETOOLONG")) throw error;
    throw new BuildError("not_found", `open ${selector}: ${errnoText(error.code)}`, { cause: error });
  }
}
