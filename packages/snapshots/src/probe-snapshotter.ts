import { lstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { escapeOverlayPath, mountAll, unmountAll } from "@buildkit-ts/mount";

/**
 * Finds out by a mount whether overlay works in a directory's file system. It needs directory entries with types and
 * extended attributes, which not every file system has, and another overlay as upper layer is refused.
 */
export async function probeSnapshotter(
  root: string,
  options: { readonly signal: AbortSignal; readonly userXattr?: boolean },
): Promise<"overlayfs" | "native"> {
  mkdirSync(root, { recursive: true, mode: 0o700 });
  const directory = mkdtempSync(join(root, "probe-"));
  const place = (name: string): string => join(directory, name);
  try {
    for (const name of ["lower", "upper", "work", "merged", "lower/directory"]) mkdirSync(place(name));
    for (const name of ["lower/gone", "lower/directory/file"]) writeFileSync(place(name), "");
    const paths = ["lower", "upper", "work"].map((name) => `${name}dir=${escapeOverlayPath(place(name))}`);
    const mount = {
      type: "overlay",
      source: "overlay",
      options: options.userXattr === true ? [...paths, "userxattr"] : paths,
    };
    await mountAll([mount], place("merged"), { signal: options.signal });
    try {
      unlinkSync(place("merged/gone"));
      // Replacing a directory sets an extended attribute.
      rmSync(place("merged/directory"), { recursive: true });
      mkdirSync(place("merged/directory"));
      const works =
        lstatSync(place("upper/gone")).isCharacterDevice() && readdirSync(place("merged/directory")).length === 0;
      return works ? "overlayfs" : "native";
    } finally {
      await unmountAll(place("merged"));
    }
  } catch {
    // Whatever does not work says the same.
    options.signal.throwIfAborted();
    return "native";
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
