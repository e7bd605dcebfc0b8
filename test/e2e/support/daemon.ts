import { type ChildProcess, spawn } from "node:child_process";
import { openSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { endProcess, type RunOptions, type RunResult, repository, run, runOk } from "./processes.ts";

/** Which daemon and client are tested: those of the source tree, or the single executable. */
const programs = process.env["BUILDKIT_TS_BIN"] ?? join(repository, "bin");

/** A daemon of our own on a root of its own. */
export class TestDaemon implements AsyncDisposable {
  readonly address: string;
  readonly root: string;
  readonly #folder: string;
  readonly #args: readonly string[];
  readonly #launcher: readonly string[];
  #child: ChildProcess | undefined;

  private constructor(folder: string, args: readonly string[], launcher: readonly string[]) {
    this.#folder = folder;
    this.#args = args;
    this.#launcher = launcher;
    this.root = join(folder, "root");
    this.address = `unix://${join(folder, "buildkitd.sock")}`;
  }

  /** @param launcher A command that becomes the one that follows, such as `unshare --net`. */
  static async start(
    folder: string,
    args: readonly string[] = [],
    launcher: readonly string[] = [],
  ): Promise<TestDaemon> {
    const daemon = new TestDaemon(folder, args, launcher);
    await daemon.start();
    return daemon;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get isAlive(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** @returns how long it took until it answered, in milliseconds. */
  async start(): Promise<number> {
    const from = performance.now();
    const log = openSync(this.logPath, "a");
    const flags = ["--root", this.root, "--addr", this.address, "--config", join(this.#folder, "none.toml"), "--debug"];
    const [program = "", ...words] = [...this.#launcher, join(programs, "buildkitd"), ...flags, ...this.#args];
    this.#child = spawn(program, words, { stdio: ["ignore", log, log] });
    const deadline = Date.now() + 30_000;
    while (!(await this.#answers())) {
      if (this.#child.exitCode !== null || Date.now() > deadline)
        throw new Error(`the daemon did not start:\n${this.log()}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    return performance.now() - from;
  }

  /** What it has computed since it was started: how long it would have taken on a machine that does nothing else. */
  get cpuMs(): number {
    const stat = readFileSync(`/proc/${this.pid}/stat`, "utf8");
    const [user = "0", system = "0"] = stat
      .slice(stat.lastIndexOf(")") + 2)
      .split(" ")
      .slice(11, 13);
    const ticksPerSecond = 100;
    return ((Number(user) + Number(system)) * 1000) / ticksPerSecond;
  }

  get logPath(): string {
    return join(this.#folder, "daemon.log");
  }

  log(): string {
    return readFileSync(this.logPath, "utf8");
  }

  async #answers(): Promise<boolean> {
    return await new Promise((resolve) => {
      const socket = connect({ path: this.address.slice("unix://".length) }, () => {
        socket.destroy();
        resolve(true);
      });
      socket.on("error", () => resolve(false));
    });
  }

  /** Ends it at once, as a crash would. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null) return;
    const exited = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await exited;
  }

  async stop(): Promise<void> {
    if (this.#child !== undefined) await endProcess(this.#child);
  }

  /** `buildkitd --fsck`, once the daemon has ended. */
  async check(): Promise<RunResult> {
    const flags = ["--fsck", "--root", this.root, "--config", join(this.#folder, "none.toml")];
    return await run(join(programs, "buildkitd"), flags);
  }

  /** Our client against this daemon. */
  async buildctl(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return await run(join(programs, "buildctl"), ["--addr", this.address, ...args], options);
  }

  async buildctlOk(args: readonly string[], options: RunOptions = {}): Promise<string> {
    return await runOk(join(programs, "buildctl"), ["--addr", this.address, ...args], options);
  }

  /** What makes `docker-buildx` use a configuration of its own, with a builder `ts` once it was called. */
  get buildxEnvironment(): Readonly<Record<string, string>> {
    return { BUILDX_CONFIG: join(this.#folder, "buildx"), DOCKER_CONFIG: join(this.#folder, "docker") };
  }

  /** `docker-buildx` against this daemon, with a configuration of its own. */
  async buildx(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    const env = { ...this.buildxEnvironment, ...options.env };
    const created = await run("docker-buildx", ["create", "--name", "ts", "--driver", "remote", this.address], { env });
    if (created.code !== 0 && !created.output.includes("existing instance")) return created;
    return await run("docker-buildx", [...args.slice(0, 1), "--builder", "ts", ...args.slice(1)], { ...options, env });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
