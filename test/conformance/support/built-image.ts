import { join } from "node:path";
import type { TestDaemon } from "../../e2e/support/daemon.ts";
import { runOk } from "../../e2e/support/processes.ts";

/** How an image runs, as skopeo reads it. */
export interface InspectedConfig {
  readonly Env?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly User?: string;
  readonly WorkingDir?: string;
  readonly ExposedPorts?: Readonly<Record<string, object>>;
  readonly Volumes?: Readonly<Record<string, object>>;
  readonly Labels?: Readonly<Record<string, string>>;
  readonly StopSignal?: string;
  readonly Shell?: readonly string[];
  readonly OnBuild?: readonly string[];
  readonly Healthcheck?: Readonly<Record<string, unknown>>;
}

/** An image that was built, seen by other tools than ours: GNU tar for its files, skopeo for its config. */
export class BuiltImage {
  readonly #tar: string;
  readonly config: InspectedConfig;
  /** `mode owner/group` by path, without leading slash; links as `path -> target`. */
  readonly entries: ReadonlyMap<string, string>;

  private constructor(tar: string, config: InspectedConfig, entries: ReadonlyMap<string, string>) {
    this.#tar = tar;
    this.config = config;
    this.entries = entries;
  }

  /** Builds with docker-buildx, to a tarball and an OCI layout at once. @throws if the build fails. */
  static async build(daemon: TestDaemon, folder: string, args: readonly string[]): Promise<BuiltImage> {
    const tar = join(folder, "files.tar");
    const layout = join(folder, "layout");
    const outputs = ["--output", `type=tar,dest=${tar}`, "--output", `type=oci,tar=false,dest=${layout}`];
    const result = await daemon.buildx(["build", "--progress=plain", "--provenance=false", ...outputs, ...args]);
    if (result.code !== 0) throw new Error(result.output);
    const inspected = JSON.parse(await runOk("skopeo", ["inspect", "--config", "--raw", `oci:${layout}`])) as {
      config: InspectedConfig;
    };
    const listing = await runOk("tar", ["--numeric-owner", "-tvf", tar]);
    return new BuiltImage(tar, inspected.config, new Map(listing.trim().split("\n").map(readEntry)));
  }

  async text(path: string): Promise<string> {
    return await runOk("tar", ["-xOf", this.#tar, path]);
  }
}

function readEntry(line: string): [path: string, entry: string] {
  const [mode = "", owner = "", , , , ...rest] = line.split(/\s+/);
  const [path = "", target] = rest.join(" ").split(/ -> | link to /);
  return [path.replace(/\/$/, ""), target === undefined ? `${mode} ${owner}` : `${mode} ${owner} -> ${target}`];
}
