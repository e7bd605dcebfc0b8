import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { ErrorReporter } from "@buildkit-ts/async";
import type { MetadataDatabase } from "@buildkit-ts/metadata";
import { unmountBelow } from "@buildkit-ts/mount";
import {
  type DirectorySnapshotter,
  FuseOverlaySnapshotter,
  NativeSnapshotter,
  OverlaySnapshotter,
  probeSnapshotter,
} from "@buildkit-ts/snapshots";
import type { Settings } from "./settings.ts";

/**
 * Empty: mount points of a predecessor that was killed are unmounted before they are removed. It is where all of the process
 * puts what is temporary from now on, or the system's directory would keep mounts and checked-out sources after a kill.
 */
export async function makeTemporaryDirectory(root: string): Promise<string> {
  const path = join(root, "tmp");
  mkdirSync(path, { recursive: true, mode: 0o700 });
  await unmountBelow(path);
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path, { mode: 0o700 });
  process.env["TMPDIR"] = path;
  return path;
}

/** The snapshotter that was configured, or that works here. */
export async function openSnapshotter(
  settings: Settings,
  options: { readonly database: MetadataDatabase; readonly logger: ErrorReporter },
): Promise<DirectorySnapshotter> {
  const { root } = settings;
  const name =
    settings.snapshotter === "auto"
      ? await probeSnapshotter(root, { signal: new AbortController().signal })
      : settings.snapshotter;
  const given = { root, database: options.database, reporter: options.logger };
  switch (name) {
    case "overlayfs":
      return new OverlaySnapshotter(given);
    case "fuse-overlayfs":
      return new FuseOverlaySnapshotter(given);
    case "native":
      return new NativeSnapshotter(given);
    default:
      return name satisfies never;
  }
}
