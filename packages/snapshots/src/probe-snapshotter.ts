import { lstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { escapeOverlayPath, mountAll, unmountAll } from "@buildkit-ts/mount";

/**
 * Finds out by mounts what works in a directory's file system: the kernel's overlay, the one of user space, or neither. It needs directory entries with types and
 * extended attributes, which not every file system has, and another overlay as upper layer is refused.
 */
export async function probeSnapshotter(
  root: string,
  options: { readonly signal: AbortSignal; readonly userXattr?: boolean },
): Promise<"overlayfs" | "fuse-overlayfs" | "native"> {
  mkdirSync(root, { recursive: true, mode: 0o700 });
  if (await works(root, "overlay", options)) return "overlayfs";
  return (await works(root, "fuse-overlayfs", options)) ? "fuse-overlayfs" : "native";
}

async function works(
  root: string,
  type: "overlay" | "fuse-overlayfs",
  options: { readonly signal: AbortSignal; readonly userXattr?: boolean },
): Promise<boolean> {
  const directory = mkdtempSync(join(root, "probe-"));
  const place = (name: string): string => join(directory, name);
  try {
    for (const name of ["lower", "upper", "work", "merged", "lower/directory"]) mkdirSync(place(name));
    for (const name of ["lower/gone", "lower/directory/file"]) writeFileSync(place(name), "");
    const paths = ["lower", "upper", "work"].map((name) => `${name}dir=${escapeOverlayPath(place(name))}`);
    const mount = {
      type,
      source: type,
      options: options.userXattr === true && type === "overlay" ? [...paths, "userxattr"] : paths,
    };
    await mountAll([mount], place("merged"), { signal: options.signal });
    try {
      unlinkSync(place("merged/gone"));
      // Replacing a directory sets an extended attribute.
      rmSync(place("merged/directory"), { recursive: true });
      mkdirSync(place("merged/directory"));
      return lstatSync(place("upper/gone")).isCharacterDevice() && readdirSync(place("merged/directory")).length === 0;
    } finally {
      await unmountAll(place("merged"));
    }
  } catch {
    // Whatever does not work says the same.
    options.signal.throwIfAborted();
    return false;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
