import { join } from "node:path";
import { finished } from "node:stream/promises";
import type { ProcessStreams } from "./executor.ts";
import { feedInput } from "./feed-input.ts";
import type { ChildStdio } from "./oci-runtime.ts";
import { StdioPipe } from "./stdio-pipe.ts";
import { TerminalIo } from "./terminal-io.ts";

/** A process's standard streams from the daemon's side. */
export interface ProcessIo extends Disposable {
  readonly stdio: ChildStdio;
  readonly signals: AsyncIterable<string> | undefined;
  /** To be called when the child has its descriptors. */
  started(kill: (signal: NodeJS.Signals) => void): void;
  /** Resolves when all output has been handed over, after the child's end. */
  drained(): Promise<void>;
}

/** Opens pipes, or a pseudo-terminal. @param options.directory Only the daemon can reach it. */
export function openProcessIo(
  streams: ProcessStreams,
  options: { readonly directory: string; readonly tty: boolean },
): ProcessIo {
  return options.tty ? new TerminalIo(streams) : new PipeIo(streams, options.directory);
}

/** What a process that was left running in the background may hold the pipes open for, after its container has ended. */
const drainTimeoutMs = 2_000;

class PipeIo implements ProcessIo {
  readonly stdio: ChildStdio;
  readonly signals: AsyncIterable<string> | undefined;
  readonly #input: StdioPipe | undefined;
  readonly #outputs: readonly StdioPipe[];
  readonly #streams: ProcessStreams;
  #drained: Promise<unknown> = Promise.resolve();

  constructor(streams: ProcessStreams, directory: string) {
    using stack = new DisposableStack();
    const open = (name: string, childEnd: "reads" | "writes"): StdioPipe =>
      stack.use(StdioPipe.create(join(directory, name), childEnd));
    this.#streams = streams;
    this.signals = streams.signals;
    this.#input = streams.stdin === undefined ? undefined : open("stdin", "reads");
    const stdout = open("stdout", "writes");
    const stderr = open("stderr", "writes");
    this.#outputs = [stdout, stderr];
    this.stdio = [this.#input?.childFd, stdout.childFd, stderr.childFd];
    stack.move();
  }

  started(): void {
    for (const pipe of [...this.#outputs, this.#input]) pipe?.releaseChildEnd();
    this.#drained = Promise.all(
      this.#outputs.map(async ({ socket }, index) => {
        const stream = index === 0 ? 1 : 2;
        socket.on("data", (chunk: Buffer) => this.#streams.onOutput(stream, chunk));
        await finished(socket, { writable: false }).catch(() => undefined);
      }),
    );
    const { stdin } = this.#streams;
    if (this.#input !== undefined && stdin !== undefined) {
      const { socket } = this.#input;
      // Whatever ended the input (its client may be gone), the process sees its end.
      feedInput(socket, stdin)
        .then(() => socket.end())
        .catch(() => socket.destroy());
    }
  }

  async drained(): Promise<void> {
    const timeout = Promise.withResolvers<void>();
    const timer = setTimeout(timeout.resolve, drainTimeoutMs);
    await Promise.race([this.#drained, timeout.promise]);
    clearTimeout(timer);
  }

  [Symbol.dispose](): void {
    for (const pipe of [...this.#outputs, this.#input]) pipe?.[Symbol.dispose]();
  }
}
