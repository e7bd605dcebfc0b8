import { closeSync } from "node:fs";
import { ReadStream } from "node:tty";
import { openPseudoTerminal, type PseudoTerminal, setTerminalSize } from "@buildkit-ts/sys";
import type { ProcessStreams } from "./executor.ts";
import { feedInput } from "./feed-input.ts";
import type { ChildStdio } from "./oci-runtime.ts";
import { OutputReader } from "./output-reader.ts";
import type { ProcessIo } from "./process-io.ts";

/**
 * A terminal for the runtime, which gives the container one of its own and copies between the two. All output comes as one
 * stream, as on any terminal.
 */
export class TerminalIo implements ProcessIo {
  readonly stdio: ChildStdio;
  readonly signals: AsyncIterable<string> | undefined;
  readonly #pair: PseudoTerminal;
  readonly #controller: ReadStream;
  readonly #streams: ProcessStreams;
  #terminalOpen = true;
  #reader: OutputReader | undefined;

  constructor(streams: ProcessStreams) {
    this.#streams = streams;
    this.signals = streams.signals;
    this.#pair = openPseudoTerminal();
    const { terminalFd } = this.#pair;
    this.stdio = [terminalFd, terminalFd, terminalFd];
    this.#controller = new ReadStream(this.#pair.controllerFd);
    // EIO is how a terminal says that nobody is at its other end any more.
    this.#controller.on("error", () => undefined);
  }

  started(kill: (signal: NodeJS.Signals) => void): void {
    this.#releaseTerminal();
    const controller = this.#controller;
    this.#reader = new OutputReader(controller, (data) => this.#streams.onOutput(1, data));
    const { stdin, resize } = this.#streams;
    // Its end says nothing to a terminal: programs see one only for the character that the terminal takes for it.
    if (stdin !== undefined) feedInput(controller, stdin).catch(() => undefined);
    if (resize !== undefined) this.#resize(resize, kill).catch(() => undefined);
  }

  async #resize(sizes: NonNullable<ProcessStreams["resize"]>, kill: (signal: NodeJS.Signals) => void): Promise<void> {
    for await (const size of sizes) {
      if (this.#controller.destroyed) return;
      setTerminalSize(this.#pair.controllerFd, size);
      // The runtime is in no foreground group of this terminal, so the kernel does not tell it.
      kill("SIGWINCH");
    }
  }

  async drained(options: { readonly signal: AbortSignal }): Promise<void> {
    await this.#reader?.ended(options);
  }

  #releaseTerminal(): void {
    if (!this.#terminalOpen) return;
    this.#terminalOpen = false;
    closeSync(this.#pair.terminalFd);
  }

  [Symbol.dispose](): void {
    this.#releaseTerminal();
    this.#controller.destroy();
  }
}
