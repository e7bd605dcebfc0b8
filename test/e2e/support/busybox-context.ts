import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { runOk } from "./processes.ts";

/** The first lines of a Dockerfile whose stage `base` has a shell with all of busybox, and needs no registry. */
export const shellStage = "FROM scratch AS base\nCOPY busybox /bin/sh\n";

/** A build context: busybox, a Dockerfile, and other files. */
export async function busyboxContext(
  folder: string,
  dockerfile: string,
  files: Readonly<Record<string, string>> = {},
): Promise<string> {
  const context = mkdtempSync(join(folder, "context-"));
  const busybox = (await runOk("sh", ["-c", "command -v busybox"])).trim();
  copyFileSync(busybox, join(context, "busybox"));
  for (const [name, text] of Object.entries({ Dockerfile: dockerfile, ...files })) {
    mkdirSync(dirname(join(context, name)), { recursive: true });
    writeFileSync(join(context, name), text);
  }
  return context;
}

/** The layer of an image that has only a shell, as a tar archive. */
export async function shellLayer(folder: string): Promise<Buffer> {
  const tree = mkdtempSync(join(folder, "layer-"));
  mkdirSync(join(tree, "bin"));
  copyFileSync((await runOk("sh", ["-c", "command -v busybox"])).trim(), join(tree, "bin/sh"));
  await runOk("tar", ["--owner=0", "--group=0", "-C", tree, "-cf", join(tree, "layer.tar"), "bin"]);
  return readFileSync(join(tree, "layer.tar"));
}
