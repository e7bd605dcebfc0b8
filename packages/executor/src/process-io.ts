import { join } from "node:path";
import type { ProcessStreams } from "./executor.ts";
import { feedInput } from "./feed-input.ts";
import type { ChildStdio } from "./oci-runtime.ts";
import { OutputReader } from "./output-reader.ts";
import { StdioPipe } from "./stdio-pipe.ts";
import { TerminalIo } from "./terminal-io.ts";

/** A process's standard streams from the daemon's side. */
export interface ProcessIo extends Disposable {
  readonly stdio: ChildStdio;
  readonly signals: AsyncIterable<string> | undefined;
  /** To be called when the child has its descriptors. */
  started(kill: (signal: NodeJS.Signals) => void): void;
  /** Resolves when all output has been handed over, after the child's end; soon, if the signal is aborted. */
  drained(options: { readonly signal: AbortSignal }): Promise<void>;
}

/** Opens pipes, or a pseudo-terminal. @param options.directory Only the daemon can reach it. */
export function openProcessIo(
  streams: ProcessStreams,
  options: { readonly directory: string; readonly tty: boolean },
): ProcessIo {
  return options.tty ? new TerminalIo(streams) : new PipeIo(streams, options.directory);
}

class PipeIo implements ProcessIo {
  readonly stdio: ChildStdio;
  readonly signals: AsyncIterable<string> | undefined;
  readonly #input: StdioPipe | undefined;
  readonly #outputs: readonly StdioPipe[];
  readonly #streams: ProcessStreams;
  #readers: readonly OutputReader[] = [];

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
    this.#readers = this.#outputs.map(
      ({ socket }, index) => new OutputReader(socket, (data) => this.#streams.onOutput(index === 0 ? 1 : 2, data)),
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

  async drained(options: { readonly signal: AbortSignal }): Promise<void> {
    await Promise.all(this.#readers.map(async (reader) => await reader.ended(options)));
  }

  [Symbol.dispose](): void {
    for (const pipe of [...this.#outputs, this.#input]) pipe?.[Symbol.dispose]();
  }
}
