import { chmod, chown, mkdtemp, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Mount, mountAll, unmountAll } from "@buildkit-ts/mount";

/** Who may read a secret in the container. */
export interface SecretFileOptions {
  /** Where a mount point can be made. */
  readonly directory: string;
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
  readonly signal: AbortSignal;
}

/** A mount of a file that exists in memory only; gone when disposed. */
export async function createSecretFile(
  data: Uint8Array,
  options: SecretFileOptions,
): Promise<{ readonly mounts: readonly Mount[] } & AsyncDisposable> {
  const executable = (options.mode & 0o111) !== 0;
  const sealed = ["nodev", "nosuid", ...(executable ? [] : ["noexec"])];
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(options.directory, "secret-"));
  stack.defer(async () => await rmdir(directory));
  await chmod(directory, 0o711);
  const tmpfs = { type: "tmpfs", source: "tmpfs", options: [...sealed, "mode=0700"] };
  await mountAll([tmpfs], directory, { signal: options.signal });
  stack.defer(async () => await unmountAll(directory));
  const file = join(directory, "value");
  await writeFile(file, data, { mode: 0o600, flag: "wx" });
  await chown(file, options.uid, options.gid);
  await chmod(file, options.mode & 0o777);
  const held = stack.move();
  return {
    mounts: [{ type: "bind", source: file, options: ["ro", "rbind", ...sealed] }],
    [Symbol.asyncDispose]: async () => await held.disposeAsync(),
  };
}
