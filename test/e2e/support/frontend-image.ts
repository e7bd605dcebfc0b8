import { copyFileSync, mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { TestDaemon } from "./daemon.ts";
import { repository, runOk } from "./processes.ts";

/** Where a frontend image is made and pushed to. */
export interface FrontendImageOptions {
  readonly daemon: TestDaemon;
  readonly folder: string;
  /** The name that it is pushed under. */
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>>;
}

/** Pushes an image whose frontend is a program of this repository, with Node and the libraries that Node needs. */
export async function pushNodeFrontend(entry: string, options: FrontendImageOptions): Promise<void> {
  const context = mkdtempSync(join(options.folder, "frontend-"));
  await bundleFrontend(entry, context);
  await copyNode(context);
  const lines = ["FROM scratch", "COPY root /", "COPY frontend.mjs /", 'ENTRYPOINT ["/bin/node", "/frontend.mjs"]'];
  await push(context, lines, options);
}

/** Pushes an image with Node alone: what `node:26-slim` is where there is a Docker Hub. */
export async function pushNodeImage(options: FrontendImageOptions): Promise<void> {
  const context = mkdtempSync(join(options.folder, "node-"));
  await copyNode(context);
  await push(context, ["FROM scratch", "COPY root /", "ENV PATH=/bin"], options);
}

/** Writes a frontend's program into one file, as `npm run bundle-frontend` does. */
export async function bundleFrontend(entry: string, folder: string): Promise<void> {
  const tool = join(repository, "tools/bundle-frontend.ts");
  const flags = ["--conditions=source", "--disable-warning=ExperimentalWarning"];
  await runOk(process.execPath, [...flags, tool, join(repository, entry), folder]);
}

async function copyNode(context: string): Promise<void> {
  const libraries = await runOk("ldd", [process.execPath]);
  for (const path of libraries.match(/\/\S+/g) ?? []) {
    const copy = join(context, "root", path);
    mkdirSync(dirname(copy), { recursive: true });
    copyFileSync(path, copy);
  }
  mkdirSync(join(context, "root/bin"), { recursive: true });
  copyFileSync(process.execPath, join(context, "root/bin/node"));
}

/** Pushes an image whose frontend is a shell script on an image that has a shell. */
export async function pushShellFrontend(
  script: string,
  options: FrontendImageOptions & { readonly base: string },
): Promise<void> {
  const context = mkdtempSync(join(options.folder, "frontend-"));
  const entrypoint = JSON.stringify(["/bin/sh", "-c", script]);
  await push(context, [`FROM ${options.base}`, `ENTRYPOINT ${entrypoint}`], options);
}

async function push(context: string, lines: readonly string[], options: FrontendImageOptions): Promise<void> {
  const labels = Object.entries(options.labels ?? {}).map(([key, value]) => `LABEL ${key}=${JSON.stringify(value)}`);
  writeFileSync(join(context, "Dockerfile"), [...lines, ...labels, ""].join("\n"));
  const locals = ["--local", `context=${context}`, "--local", `dockerfile=${context}`];
  // Node compresses to a third, which takes longer than all the rest.
  const output = `type=image,name=${options.name},push=true,compression=uncompressed`;
  await options.daemon.buildctlOk(["build", "--frontend", "dockerfile.v0", ...locals, "--output", output]);
}
