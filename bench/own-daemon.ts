import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { connect } from "node:net";
import { join, resolve } from "node:path";

/** This project's daemon on a fresh root. */
export interface OwnDaemon extends AsyncDisposable {
  readonly address: string;
  /** From the start of the process until it took a connection. */
  readonly startMs: number;
}

/** Starts `buildkitd` of the folder in BUILDKIT_TS_BIN, else that of the source tree. Its log is `<directory>/log`. */
export async function startOwnDaemon(directory: string): Promise<OwnDaemon> {
  const binary = join(resolve(process.env["BUILDKIT_TS_BIN"] ?? join(import.meta.dirname, "../bin")), "buildkitd");
  mkdirSync(directory, { recursive: true });
  const socket = join(directory, "buildkitd.sock");
  const log = openSync(join(directory, "log"), "w");
  const started = performance.now();
  const child = spawn(binary, ["--root", join(directory, "root"), "--addr", `unix://${socket}`], {
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  const ended = new Promise<void>((settle) => void child.once("close", settle));
  while (!(await isListening(socket))) {
    if (child.exitCode !== null) throw new Error(`${binary} ended with ${child.exitCode}: see ${directory}/log`);
    await new Promise((settle) => setTimeout(settle, 5));
  }
  const startMs = performance.now() - started;
  return {
    address: `unix://${socket}`,
    startMs,
    [Symbol.asyncDispose]: async (): Promise<void> => {
      child.kill("SIGTERM");
      await ended;
    },
  };
}

async function isListening(socket: string): Promise<boolean> {
  return await new Promise((settle) => {
    const connection = connect(socket, () => {
      connection.destroy();
      settle(true);
    });
    connection.once("error", () => settle(false));
  });
}
