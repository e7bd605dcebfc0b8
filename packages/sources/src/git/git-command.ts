import { spawn } from "node:child_process";
import { type Clock, systemClock } from "@buildkit-ts/async";
import { BuildError } from "@buildkit-ts/errdefs";
import type { ProgressWriter } from "@buildkit-ts/progress";
import { redactUrls } from "./git-identifier.ts";

/** What commands on one remote have in common. */
export interface GitCommandOptions {
  readonly progress: ProgressWriter;
  /** Value of the `Authorization` header, for URLs that begin with `scope`. Secret. */
  readonly authorization?: { readonly scope: string; readonly value: string };
  readonly knownHostsFile?: string;
  /** Socket of the agent that signs in to servers by SSH. */
  readonly agentSocket?: string;
  readonly clock?: Clock;
}

/** Where a command works. */
export interface GitPlace {
  readonly gitDirectory?: string;
  readonly workTree?: string;
}

interface RunOptions {
  readonly signal: AbortSignal;
  /** What of the command is kept from the build's log: its output, or its complaints as well. */
  readonly quiet?: "output" | "all";
}

interface Outcome {
  readonly status: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

const maxAttempts = 5;
const remoteCommands = new Set(["fetch", "ls-remote", "submodule"]);
// What git and curl say of servers that are in trouble, and of connections that break.
const passingFailure = new RegExp(
  [
    "returned error: (?:5\\d\\d|408|425|429)",
    "connection (?:was )?reset",
    "connection timed out",
    "operation timed out",
    "empty reply from server",
    "early eof",
    "unexpected disconnect",
    "hung up unexpectedly",
    "transfer closed with",
    "RPC failed",
    "Recv failure",
    "SSL_ERROR_SYSCALL",
    "unexpected eof while reading",
    "kex_exchange_identification",
  ].join("|"),
  "i",
);

const maxOutputBytes = 32 << 20;
const killAfterMs = 10_000;

/** Runs git without any configuration of this machine, never asking anybody. */
export class GitCommand {
  readonly #options: GitCommandOptions;
  readonly #place: GitPlace;

  constructor(options: GitCommandOptions, place: GitPlace = {}) {
    this.#options = options;
    this.#place = place;
  }

  at(place: GitPlace): GitCommand {
    return new GitCommand(this.#options, place);
  }

  /**
   * The command's output. A server that cannot give a part of the history, or one commit, is asked for more.
   *
   * @throws {BuildError} `unknown`, with what git said.
   */
  async run(args: readonly string[], options: { readonly signal: AbortSignal }): Promise<string> {
    return (await this.#run(args, options)).toString("utf8");
  }

  /** The bytes of an object, which are not shown. @throws {BuildError} `unknown`, with what git said. */
  async readObject(type: "commit" | "tag", id: string, options: { readonly signal: AbortSignal }): Promise<Buffer> {
    return await this.#run(["cat-file", type, id], { ...options, quiet: "output" });
  }

  async #run(args: readonly string[], options: RunOptions): Promise<Buffer> {
    const { status, stdout, stderr } = await this.#patiently(args, options);
    if (status === 0) return stdout;
    options.signal.throwIfAborted();
    const withoutDepth = args.filter((arg) => arg !== "--depth=1");
    if (/--depth|shallow/.test(stderr) && withoutDepth.length < args.length)
      return await this.#run(withoutDepth, options);
    const last = args.at(-1) ?? "";
    if (/not our ref|unadvertised object/.test(stderr) && args[0] === "fetch" && /^[0-9a-f]{40,64}$/.test(last))
      return await this.#run(args.slice(0, -1), options);
    throw new BuildError("unknown", redactUrls(`git stderr:\n${stderr.slice(0, 16_384)}: exit status ${status}`));
  }

  /** Git itself gives up at the first failure of a server or of the way there. */
  async #patiently(args: readonly string[], options: RunOptions): Promise<Outcome> {
    const clock = this.#options.clock ?? systemClock;
    for (let attempt = 1; ; attempt += 1) {
      const outcome = await this.#spawn(args, options);
      const mayPass = remoteCommands.has(args[0] ?? "") && outcome.status !== 0 && passingFailure.test(outcome.stderr);
      if (!mayPass || attempt === maxAttempts || options.signal.aborted) return outcome;
      await clock.sleep(Math.min(1000 * 2 ** (attempt - 1), 8000), options);
    }
  }

  /** Whether the command succeeds. */
  async succeeds(args: readonly string[], options: { readonly signal: AbortSignal }): Promise<boolean> {
    const { status } = await this.#spawn(args, { ...options, quiet: "all" });
    options.signal.throwIfAborted();
    return status === 0;
  }

  async #spawn(args: readonly string[], options: RunOptions): Promise<Outcome> {
    const { signal } = options;
    signal.throwIfAborted();
    const { gitDirectory, workTree } = this.#place;
    const all = [
      // Repositories must not reach others on this machine through submodules.
      "-c",
      "protocol.file.allow=user",
      ...(workTree === undefined ? [] : ["--work-tree", workTree]),
      ...(gitDirectory === undefined ? [] : ["--git-dir", gitDirectory]),
      ...args,
    ];
    // Modes of files must not depend on the daemon's umask.
    const child = spawn("/bin/sh", ["-c", 'umask 022 && exec git "$@"', "git", ...all], {
      cwd: workTree ?? gitDirectory ?? "/",
      env: this.#environment(),
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    const kill = (name: NodeJS.Signals): void => {
      // The helpers that git starts are in its process group.
      if (child.pid !== undefined && child.exitCode === null && child.signalCode === null)
        process.kill(-child.pid, name);
    };
    let killTimer: NodeJS.Timeout | undefined;
    const onAbort = (): void => {
      kill("SIGTERM");
      killTimer = setTimeout(() => kill("SIGKILL"), killAfterMs);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    const output = { 1: [] as Buffer[], 2: [] as Buffer[] };
    let bytes = 0;
    const collect = (stream: 1 | 2) => (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > maxOutputBytes) kill("SIGKILL");
      else output[stream].push(chunk);
      if (options.quiet === undefined || (options.quiet === "output" && stream === 2))
        this.#options.progress.log(stream, Buffer.from(redactUrls(chunk.toString("utf8"))));
    };
    child.stdout.on("data", collect(1));
    child.stderr.on("data", collect(2));
    try {
      const status = await new Promise<number>((resolve, reject) => {
        child.once("error", (cause) =>
          reject(new BuildError("failed_precondition", "failed to find git binary", { cause })),
        );
        child.once("close", (code) => resolve(code ?? 128));
      });
      return { status, stdout: Buffer.concat(output[1]), stderr: Buffer.concat(output[2]).toString("utf8") };
    } finally {
      signal.removeEventListener("abort", onAbort);
      clearTimeout(killTimer);
    }
  }

  #environment(): NodeJS.ProcessEnv {
    const { authorization, agentSocket } = this.#options;
    return {
      ...proxyVariables(process.env),
      PATH: process.env["PATH"] ?? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      LC_ALL: "C",
      GIT_TERMINAL_PROMPT: "0",
      GIT_SSH_COMMAND: sshCommand(this.#options),
      ...(agentSocket !== undefined && { SSH_AUTH_SOCK: agentSocket }),
      GIT_CONFIG_NOSYSTEM: "1",
      GIT_CONFIG_GLOBAL: "/dev/null",
      HOME: "/dev/null",
      // Not as an argument: all users of the machine can read those.
      ...(authorization !== undefined && {
        GIT_CONFIG_COUNT: "1",
        GIT_CONFIG_KEY_0: `http.${authorization.scope}.extraheader`,
        GIT_CONFIG_VALUE_0: `Authorization: ${authorization.value}`,
      }),
    };
  }
}

/** SSH without any key or setting of this machine: only what the client forwards and knows counts. */
function sshCommand({ knownHostsFile }: GitCommandOptions): string {
  const hosts =
    knownHostsFile === undefined
      ? ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"]
      : ["StrictHostKeyChecking=yes", `UserKnownHostsFile=${knownHostsFile}`];
  const all = [...hosts, "GlobalKnownHostsFile=/dev/null", "IdentityFile=none", "BatchMode=yes"];
  return ["ssh -F /dev/null", ...all.map((option) => `-o '${option}'`)].join(" ");
}

/**
 * The daemon's proxies as git's library reads them: it looks at the small names only for plain HTTP, and would ask a proxy
 * for what is on this machine.
 */
function proxyVariables(environment: NodeJS.ProcessEnv): Record<string, string> {
  const find = (name: string): string => environment[name] || environment[name.toLowerCase()] || "";
  const names = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"].filter((name) => find(name) !== "");
  if (names.length === 0) return {};
  const exceptions = [find("NO_PROXY"), "localhost", "127.0.0.0/8", "127.0.0.1", "::1"].filter((name) => name !== "");
  const values = [...names.map((name) => [name, find(name)] as const), ["NO_PROXY", exceptions.join(",")] as const];
  return Object.fromEntries(
    values.flatMap(([name, value]) => [
      [name, value],
      [name.toLowerCase(), value],
    ]),
  );
}
