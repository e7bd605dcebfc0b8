import { spawn } from "node:child_process";
import { accessSync, closeSync, constants, lstatSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { isSea } from "node:sea";
import { fileURLToPath } from "node:url";
import { BuildkitClient } from "@buildkit-ts/client";
import { BuildError } from "@buildkit-ts/errdefs";

/** How long a daemon may take to listen. */
const startTimeoutMs = 20_000;
const pollMs = 20;
/** When ours has ended: how long another one, that took the store first, may still need. */
const otherStartMs = 2000;
/** How long a daemon without clients lives on. */
const idleTimeout = "5m";

interface Waiting {
  readonly signal: AbortSignal;
}

/** The daemon that was started for this user before; undefined if it does not run. */
export async function findOwnDaemon(options: Waiting): Promise<BuildkitClient | undefined> {
  const directory = storeDirectory();
  if (!isPrivate(directory)) return undefined;
  try {
    return await BuildkitClient.connect(`unix://${socketIn(directory)}`, { signal: options.signal });
  } catch (error) {
    options.signal.throwIfAborted();
    if (error instanceof BuildError && error.code === "unavailable") return undefined;
    throw error;
  }
}

/**
 * Starts a daemon of the user's own that ends when it was idle for a while.
 *
 * Two that do so at once start two daemons, of which the second finds the store taken and ends: both use the first.
 *
 * @throws {BuildError} `unavailable`, with what the daemon says, if it does not come up.
 */
export async function startOwnDaemon(options: Waiting): Promise<BuildkitClient> {
  const directory = createStoreDirectory();
  const program = findDaemonProgram();
  const logPath = join(directory, "buildkitd.log");
  const log = openSync(
    logPath,
    constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW,
    0o600,
  );
  const args = ["--root", directory, "--addr", `unix://${socketIn(directory)}`, "--idle-timeout", idleTimeout];
  const child = spawn(program, args, { detached: true, stdio: ["ignore", log, log] });
  closeSync(log);
  child.unref();
  let ended: string | undefined;
  let deadline = performance.now() + startTimeoutMs;
  const end = (how: string): void => {
    ended = how;
    deadline = Math.min(deadline, performance.now() + otherStartMs);
  };
  child.once("error", (error) => {
    end(error.message);
  });
  child.once("exit", (code, signal) => {
    end(signal === null ? `exit code ${code}` : signal);
  });
  for (;;) {
    const client = await findOwnDaemon(options);
    if (client !== undefined) return client;
    if (performance.now() > deadline) {
      throw new BuildError("unavailable", `Cannot start buildkitd: ${ended ?? "it does not listen"}`, {
        hint: readFileSync(logPath, "utf8").trim().split("\n").slice(-5).join("\n"),
      });
    }
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

function socketIn(directory: string): string {
  return join(directory, "buildkitd.sock");
}

function userId(): number {
  return process.getuid?.() ?? 0;
}

/** Only a directory that nobody else can write to: who could would answer in the daemon's place. */
function isPrivate(path: string): boolean {
  try {
    const stat = lstatSync(path);
    return stat.isDirectory() && stat.uid === userId() && (stat.mode & 0o077) === 0;
  } catch (error) {
    if (error instanceof Error && "code" in error) return false;
    throw error;
  }
}

/** The store, which also holds the socket: so there is one daemon for a store, and everyone finds it. */
function storeDirectory(): string {
  if (userId() === 0) return "/var/lib/buildkit-ts";
  return join(process.env["XDG_DATA_HOME"] || join(homedir(), ".local/share"), "buildkit-ts");
}

function createStoreDirectory(): string {
  const path = storeDirectory();
  mkdirSync(path, { recursive: true, mode: 0o700 });
  if (isPrivate(path)) return path;
  throw new BuildError("failed_precondition", `Cannot start buildkitd: others can write to "${path}"`, {
    hint: "Make it a directory of your own with mode 0700",
  });
}

function findDaemonProgram(): string {
  const beside = isSea()
    ? join(dirname(process.execPath), "buildkitd")
    : fileURLToPath(new URL("../../../bin/buildkitd", import.meta.url));
  const onPath = (process.env["PATH"] ?? "").split(delimiter).map((directory) => join(directory, "buildkitd"));
  for (const path of [beside, ...onPath]) {
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch (error) {
      if (!(error instanceof Error && "code" in error)) throw error;
    }
  }
  throw new BuildError("unavailable", "Cannot start buildkitd: program not found", {
    hint: "Install buildkitd beside buildctl, or name a running one by --addr or BUILDKIT_HOST",
  });
}
