import { spawn } from "node:child_process";
import { createReadStream, createWriteStream } from "node:fs";
import { finished } from "node:stream/promises";

/** Where a command runs, what file it reads, and where its output goes; without `output` the output is returned. */
export interface CommandOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  readonly output?: string;
  /** It is killed after this time, and counts as failed by a {@linkcode TimeLimitError}. */
  readonly limitMs?: number;
}

/** A command did not end in time. */
export class TimeLimitError extends Error {
  override readonly name = "TimeLimitError";
}

/** Runs a command to its end and returns what it printed. Throws with its error output if it fails. */
export async function runCommand(
  command: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  const child = spawn(command, args, {
    stdio: ["pipe", "pipe", "pipe"],
    ...(options.cwd !== undefined && { cwd: options.cwd }),
    env: { ...process.env, ...options.env },
  });
  // It may end without having read all.
  child.stdin.on("error", () => undefined);
  if (options.input === undefined) child.stdin.end();
  else createReadStream(options.input).pipe(child.stdin);
  let printed = "";
  let complaints = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    complaints = (complaints + text).slice(-4000);
  });
  const end = Promise.withResolvers<number | null>();
  let isLate = false;
  const timer =
    options.limitMs === undefined
      ? undefined
      : setTimeout(() => {
          isLate = true;
          child.kill("SIGKILL");
        }, options.limitMs);
  child.once("error", end.reject).once("close", end.resolve);
  if (options.output === undefined) {
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      printed += text;
    });
  } else {
    await finished(child.stdout.pipe(createWriteStream(options.output)));
  }
  const code = await end.promise.finally(() => clearTimeout(timer));
  if (isLate) throw new TimeLimitError(`${command} ${args.join(" ")} did not end in time`);
  if (code !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${code}:\n${complaints}`);
  return printed;
}
