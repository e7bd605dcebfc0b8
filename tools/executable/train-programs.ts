import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

/** What is built. The last step can be run nowhere: where steps cannot be run at all, it fails some functions earlier. */
const dockerfiles: readonly string[] = [
  `FROM scratch AS base
ARG NAME=value
ENV NAME=\${NAME}
COPY Dockerfile /copied
FROM base
COPY --from=base /copied /again
LABEL name=value
`,
  `FROM scratch
COPY Dockerfile /copied
RUN ["/missing"]
`,
];
/** A build, and one that finds all in the cache. */
const runs = 2;
const limitMs = 60_000;

/** V8's code caches of the programs. */
export interface CodeCaches {
  readonly daemon: Buffer;
  readonly client: Buffer;
}

/**
 * Builds something with a daemon and clients, so that V8 has compiled what builds run when they leave their code caches
 * behind: the first build of each daemon would compile it otherwise.
 *
 * @param executable Of `training-entry.ts`.
 */
export async function trainPrograms(executable: string): Promise<CodeCaches> {
  const folder = mkdtempSync(join(tmpdir(), "training-"));
  try {
    for (const name of ["buildkitd", "buildctl"]) symlinkSync(executable, join(folder, name));
    await buildAll(folder);
    const read = (name: keyof CodeCaches): Buffer => readFileSync(join(folder, `${name}.cache`));
    return { daemon: read("daemon"), client: read("client") };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function buildAll(folder: string): Promise<void> {
  const config = join(folder, "buildkitd.toml");
  writeFileSync(config, "");
  const socket = join(folder, "socket");
  const root = join(folder, "root");
  // Nothing of the machine's own settings, and nothing that would change its networks.
  const args = ["--config", config, "--root", root, "--addr", `unix://${socket}`, "--oci-worker-net=host"];
  const options = { env: environment(join(folder, "daemon.cache")), stdio: "ignore" } as const;
  const daemon = spawn(join(folder, "buildkitd"), args, options);
  const ended = once(daemon, "exit");
  try {
    await listening(daemon, socket);
    for (const [index, dockerfile] of dockerfiles.entries()) {
      const context = join(folder, `context-${index}`);
      mkdirSync(context);
      writeFileSync(join(context, "Dockerfile"), dockerfile);
      for (let run = 0; run < runs; run += 1) buildContext(folder, context);
    }
  } finally {
    daemon.kill("SIGTERM");
    await ended;
  }
}

/** A build that fails has run what it could. */
function buildContext(folder: string, context: string): void {
  const locals = ["context", "dockerfile"].map((name) => `--local=${name}=${context}`);
  spawnSync(
    join(folder, "buildctl"),
    ["--addr", `unix://${join(folder, "socket")}`, "build", "--progress=plain", "--frontend=dockerfile.v0", ...locals],
    { env: environment(join(folder, "client.cache")), stdio: "ignore", timeout: limitMs },
  );
}

function environment(cache: string): NodeJS.ProcessEnv {
  const { PATH, TMPDIR } = process.env;
  return { PATH, ...(TMPDIR !== undefined && { TMPDIR }), CODE_CACHE_FILE: cache };
}

async function listening(daemon: ChildProcess, socket: string): Promise<void> {
  for (const end = Date.now() + limitMs; Date.now() < end; await delay(50)) {
    if (existsSync(socket)) return;
    if (daemon.exitCode !== null) break;
  }
  throw new Error("the daemon does not listen");
}
