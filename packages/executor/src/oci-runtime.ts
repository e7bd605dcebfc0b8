import { execFile } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { BuildError } from "@buildkit-ts/errdefs";
import { type ProcessExit, spawnProcess } from "@buildkit-ts/sys";
import { waitForExit } from "./child-exits.ts";

/** Names of runtimes, the preferred one first. */
const candidates = ["buildkit-runc", "runc", "crun"];

/** Finds the runtime's program. @throws {BuildError} `failed_precondition`, naming what was looked for. */
export function findRuntime(options: { readonly binary?: string; readonly path?: string }): string {
  const names = options.binary === undefined || options.binary === "" ? candidates : [options.binary];
  for (const name of names) {
    const places = name.includes("/") ? [name] : (options.path ?? "").split(delimiter).map((dir) => join(dir, name));
    const found = places.find(isExecutable);
    if (found !== undefined) return found;
  }
  throw new BuildError("failed_precondition", `failed to find ${names.at(-1)} binary`, {
    hint: `Install an OCI runtime (${candidates.join(", ")}), or set [worker.oci] binary`,
  });
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** A child's three standard streams: descriptors, or nothing. */
export type ChildStdio = readonly [stdin: number | undefined, stdout: number | undefined, stderr: number | undefined];

/** A runtime's program with the arguments that all its calls share. */
export class OciRuntime {
  readonly #binary: string;
  readonly #stateDirectory: string;

  constructor(binary: string, stateDirectory: string) {
    this.#binary = binary;
    this.#stateDirectory = stateDirectory;
  }

  /** What the program says of itself. */
  async versionText(options: { readonly signal: AbortSignal }): Promise<string> {
    const { stdout } = await promisify(execFile)(this.#binary, ["--version"], { ...options, timeout: 10_000 });
    return stdout;
  }

  /** Starts a call; the child is in a session of its own, so that a terminal's signals to the daemon pass it by. */
  start(args: readonly string[], options: { readonly stdio: ChildStdio; readonly logPath: string }): RuntimeCall {
    const all = [
      this.#binary,
      "--root",
      this.#stateDirectory,
      "--log",
      options.logPath,
      "--log-format",
      "json",
      ...args,
    ];
    // The runtime needs nothing of the daemon's environment; steps get theirs from the spec.
    const env = { PATH: process.env["PATH"] ?? "" };
    try {
      return new RuntimeCall(spawnProcess({ file: this.#binary, args: all, env, stdio: options.stdio }));
    } catch (cause) {
      const text = cause instanceof Error ? cause.message : String(cause);
      throw new BuildError("internal", `Cannot start runtime "${this.#binary}": ${text}`, { cause });
    }
  }

  /** Runs a call that talks to nobody and waits for its end; its failure is the caller's to judge. */
  async run(args: readonly string[], options: { readonly logPath: string }): Promise<ProcessExit> {
    return await this.start(args, { stdio: [undefined, undefined, undefined], logPath: options.logPath }).exit;
  }
}

/** A running call of the runtime. */
export class RuntimeCall {
  readonly exit: Promise<ProcessExit>;
  readonly #pid: number;
  #ended = false;

  constructor(pid: number) {
    this.#pid = pid;
    this.exit = waitForExit(pid).finally(() => {
      this.#ended = true;
    });
  }

  kill(signal: NodeJS.Signals): void {
    // Once it has been waited for, its id may belong to another process.
    if (!this.#ended) process.kill(this.#pid, signal);
  }
}
