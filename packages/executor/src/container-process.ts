import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { ProcessExit } from "@buildkit-ts/sys";
import type { ProcessStreams } from "./executor.ts";
import type { OciRuntime, RuntimeCall } from "./oci-runtime.ts";
import { openProcessIo, type ProcessIo } from "./process-io.ts";

/** How a {@linkcode ContainerProcess} is started. */
export interface StartOptions {
  /** Its own, for files and pipes. */
  readonly directory: string;
  readonly tty: boolean;
  /** Written into the directory first. */
  readonly files: Readonly<Record<string, string>>;
  /** The runtime's arguments; it writes the process's id to the path. */
  readonly args: (pidPath: string) => readonly string[];
}

const pidPollMs = 5;
/** How long a runtime may take to see that its killed container has ended. */
const endTimeoutMs = 10_000;

/** One call of the runtime that stays in the foreground as long as the process lives. */
export class ContainerProcess {
  readonly #call: RuntimeCall;
  readonly #io: ProcessIo;
  readonly #pidPath: string;
  #ended = false;

  private constructor(call: RuntimeCall, io: ProcessIo, pidPath: string) {
    this.#call = call;
    this.#io = io;
    this.#pidPath = pidPath;
  }

  static async start(runtime: OciRuntime, streams: ProcessStreams, options: StartOptions): Promise<ContainerProcess> {
    const { directory } = options;
    for (const [name, text] of Object.entries(options.files)) {
      await writeFile(join(directory, name), text, { mode: 0o600, flag: "wx" });
    }
    const io = openProcessIo(streams, { directory, tty: options.tty });
    try {
      const pidPath = join(directory, "pid");
      const call = runtime.start(options.args(pidPath), { stdio: io.stdio, logPath: join(directory, "log.json") });
      io.started((signal) => call.kill(signal));
      return new ContainerProcess(call, io, pidPath);
    } catch (error) {
      io[Symbol.dispose]();
      throw error;
    }
  }

  /** Waits for the end of the process and of its output. Aborting kills the process and then waits for the same. */
  async wait(options: { readonly signal: AbortSignal; readonly onStarted?: () => void }): Promise<ProcessExit> {
    using _io = this.#io;
    const { signal } = options;
    const tasks: Promise<void>[] = [];
    const onAbort = (): void => {
      tasks.push(this.#kill());
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    if (options.onStarted !== undefined) tasks.push(this.#reportStart(options.onStarted));
    if (this.#io.signals !== undefined) tasks.push(this.#forwardSignals(this.#io.signals));
    try {
      const exit = await this.#call.exit;
      this.#ended = true;
      await this.#io.drained({ signal });
      return exit;
    } finally {
      this.#ended = true;
      signal.removeEventListener("abort", onAbort);
      await Promise.all(tasks);
    }
  }

  /** Kills the process itself, never the runtime: the runtime cleans up after it, and its pid namespace dies with it. */
  async #kill(): Promise<void> {
    // A runtime that waits for a file of the image, such as a FIFO, never says whom it has started.
    const pid = await Promise.race([this.#pid(), sleep(endTimeoutMs, undefined, { ref: false })]);
    if (pid !== undefined) killProcess(pid);
    else if (this.#ended) return;
    for (let waited = 0; pid !== undefined && waited < endTimeoutMs; waited += pidPollMs) {
      if (this.#ended) return;
      await sleep(pidPollMs);
    }
    this.#call.kill("SIGKILL");
  }

  /** The process's id, as soon as the runtime has made it; undefined if the runtime ended first. */
  async #pid(): Promise<number | undefined> {
    while (!this.#ended) {
      // Asked many times before it is there, and this costs a fiftieth of a failed read in the thread pool.
      const text = existsSync(this.#pidPath) ? await readFile(this.#pidPath, "utf8").catch(() => "") : "";
      if (/^\d+$/.test(text.trim())) return Number(text);
      await sleep(pidPollMs);
    }
    return undefined;
  }

  async #reportStart(onStarted: () => void): Promise<void> {
    // Also where the process ended before it was seen: whoever takes its output may wait to hear that it has started.
    await this.#pid();
    onStarted();
  }

  async #forwardSignals(signals: AsyncIterable<string>): Promise<void> {
    const iterator = signals[Symbol.asyncIterator]();
    const ended = this.#call.exit.then(
      () => undefined,
      () => undefined,
    );
    for (;;) {
      const next = await Promise.race([iterator.next(), ended]);
      if (next === undefined || next.done === true) break;
      await this.#forwardSignal(next.value);
    }
    // Whoever feeds it is told that nobody listens any more, and need not answer.
    iterator.return?.().catch(() => undefined);
  }

  async #forwardSignal(name: string): Promise<void> {
    const signal = (name.startsWith("SIG") ? name : `SIG${name}`) as NodeJS.Signals;
    if (signal !== "SIGKILL") {
      this.#call.kill(signal);
      return;
    }
    const pid = await this.#pid();
    if (pid !== undefined) killProcess(pid);
  }
}

function killProcess(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
