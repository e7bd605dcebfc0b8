import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { BuildError } from "@buildkit-ts/errdefs";

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
export type ChildStdio = readonly [stdin: number | "ignore", stdout: number | "ignore", stderr: number | "ignore"];

/** How a child ended. */
export interface ChildExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A runtime's program with the arguments that all its calls share. */
export class OciRuntime {
  readonly #binary: string;
  readonly #stateDirectory: string;

  constructor(binary: string, stateDirectory: string) {
    this.#binary = binary;
    this.#stateDirectory = stateDirectory;
  }

  /** Starts a call; the child is in a process group of its own, so that a terminal's signals to the daemon pass it by. */
  start(args: readonly string[], options: { readonly stdio: ChildStdio; readonly logPath: string }): RuntimeCall {
    const child = spawn(
      this.#binary,
      ["--root", this.#stateDirectory, "--log", options.logPath, "--log-format", "json", ...args],
      // The runtime needs nothing of the daemon's environment; steps get theirs from the spec.
      { stdio: [...options.stdio], detached: true, env: { PATH: process.env["PATH"] ?? "" } },
    );
    return new RuntimeCall(child);
  }

  /** Runs a call that talks to nobody and waits for its end; its failure is the caller's to judge. */
  async run(args: readonly string[], options: { readonly logPath: string }): Promise<ChildExit> {
    return await this.start(args, { stdio: ["ignore", "ignore", "ignore"], logPath: options.logPath }).exit;
  }
}

/** A running call of the runtime. */
export class RuntimeCall {
  /** Rejects if the program could not be started. */
  readonly exit: Promise<ChildExit>;
  readonly #child: ChildProcess;

  constructor(child: ChildProcess) {
    this.#child = child;
    this.exit = new Promise((resolve, reject) => {
      child.once("error", (cause) => {
        reject(new BuildError("internal", `Cannot start runtime "${child.spawnfile}": ${cause.message}`, { cause }));
      });
      // Not "close": the streams are pipes of our own.
      child.once("exit", (code, signal) => resolve({ code, signal }));
    });
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }
}
