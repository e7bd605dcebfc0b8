import { writeSync } from "node:fs";
import { WriteStream } from "node:tty";
import type { StatusResponse } from "@buildkit-ts/api/buildkit/control";
import { BuildError } from "@buildkit-ts/errdefs";
import { progressColors } from "./colors.ts";
import { PlainPrinter, printErrorLogs } from "./plain-printer.ts";
import { ProgressTrace } from "./progress-trace.ts";
import { statusToJson } from "./status-json.ts";
import { TerminalPrinter } from "./terminal-printer.ts";

/** Shows what goes on in a build. */
export interface ProgressDisplay {
  update(status: StatusResponse): void;
  /** Shows the final state. To be called once. */
  finish(): void;
}

/** A file descriptor that progress goes to: 1 or 2. */
export type ProgressOutput = 1 | 2;

const defaultLogLines = 6;
const refreshMs = 150;
const minFrameMs = 100;

/**
 * A display by its mode: `auto`, `plain`, `tty`, `rawjson`, `quiet`. `BUILDKIT_PROGRESS` replaces `auto`.
 *
 * @throws {BuildError} `invalid_argument`, for an unknown mode, or for `tty` without a terminal.
 */
export function createProgressDisplay(requestedMode: string, output: ProgressOutput): ProgressDisplay {
  const mode = requestedMode === "auto" ? process.env["BUILDKIT_PROGRESS"] || "auto" : requestedMode;
  const stream = output === 1 ? process.stdout : process.stderr;
  const isTerminal = stream instanceof WriteStream;
  switch (mode) {
    case "auto":
    case "":
    case "tty":
      if (isTerminal) return new TerminalDisplay(stream, output);
      if (mode === "tty")
        throw new BuildError("invalid_argument", "failed to get console: provided file is not a console");
      return new PlainDisplay(output);
    case "plain":
      return new PlainDisplay(output);
    case "rawjson":
      return { update: (status) => writeAll(output, `${statusToJson(status)}\n`), finish: () => undefined };
    case "quiet":
      return { update: () => undefined, finish: () => undefined };
    default:
      throw new BuildError("invalid_argument", `invalid progress mode ${mode}`);
  }
}

/** Calls back regularly, and at once for new things unless the last time was a moment ago. */
class Refresher {
  readonly #refresh: () => void;
  readonly #timer: NodeJS.Timeout;
  readonly #minFrameMs: number;
  #lastAt = Number.NEGATIVE_INFINITY;

  constructor(refresh: () => void) {
    this.#refresh = refresh;
    const rate = /^\d+$/.test(process.env["TTY_DISPLAY_RATE"] ?? "") ? Number(process.env["TTY_DISPLAY_RATE"]) : 0;
    this.#minFrameMs = rate || minFrameMs;
    this.#timer = setInterval(() => this.#refresh(), rate || refreshMs).unref();
  }

  request(): void {
    const now = performance.now();
    if (now - this.#lastAt < this.#minFrameMs) return;
    this.#lastAt = now;
    this.#timer.refresh();
    this.#refresh();
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

class PlainDisplay implements ProgressDisplay {
  readonly #trace = new ProgressTrace({ withWindows: false });
  readonly #output: ProgressOutput;
  readonly #printer: PlainPrinter;
  readonly #refresher: Refresher;
  #pending: Buffer[] = [];

  constructor(output: ProgressOutput) {
    this.#output = output;
    this.#printer = new PlainPrinter((text) => this.#pending.push(Buffer.from(text)));
    this.#refresher = new Refresher(() => this.#print());
  }

  update(status: StatusResponse): void {
    this.#trace.update(status);
    this.#refresher.request();
  }

  finish(): void {
    this.#refresher.stop();
    this.#print();
    printErrorLogs(this.#trace, (text) => this.#pending.push(Buffer.from(text)));
    this.#flush();
  }

  #print(): void {
    this.#printer.print(this.#trace);
    this.#flush();
  }

  #flush(): void {
    if (this.#pending.length === 0) return;
    const text = Buffer.concat(this.#pending);
    this.#pending = [];
    writeAll(this.#output, text);
  }
}

class TerminalDisplay implements ProgressDisplay {
  readonly #trace = new ProgressTrace({ withWindows: true });
  readonly #output: ProgressOutput;
  readonly #stream: WriteStream;
  readonly #printer: TerminalPrinter;
  readonly #refresher: Refresher;
  readonly #onResize = (): void => this.#draw(false);

  constructor(stream: WriteStream, output: ProgressOutput) {
    this.#output = output;
    this.#stream = stream;
    const colors = progressColors(process.env, (message) => writeAll(output, `${message}\n`));
    const lines = Number(process.env["BUILDKIT_TTY_LOG_LINES"]);
    const terminal = {
      get columns(): number {
        return stream.columns;
      },
      get rows(): number {
        return stream.rows;
      },
      write: (text: string) => writeAll(output, text),
    };
    this.#printer = new TerminalPrinter(
      terminal,
      colors,
      Number.isInteger(lines) && lines > 0 ? lines : defaultLogLines,
    );
    this.#refresher = new Refresher(() => this.#draw(false));
    stream.on("resize", this.#onResize);
  }

  update(status: StatusResponse): void {
    this.#trace.update(status);
    this.#refresher.request();
  }

  finish(): void {
    this.#refresher.stop();
    this.#stream.off("resize", this.#onResize);
    this.#draw(true);
    printErrorLogs(this.#trace, (text) => writeAll(this.#output, text));
  }

  #draw(isLast: boolean): void {
    this.#printer.draw(this.#trace, { isLast });
  }
}

/**
 * Writes all of it now: what is left in a stream's buffer is lost when the process exits, and an error message must not
 * overtake the progress before it.
 */
export function writeAll(fd: ProgressOutput, text: string | Uint8Array): void {
  const data = typeof text === "string" ? Buffer.from(text) : text;
  for (let offset = 0; offset < data.length; ) {
    try {
      offset += writeSync(fd, data, offset);
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : undefined;
      // Nobody reads any more: the build goes on.
      if (code === "EPIPE") return;
      if (code !== "EAGAIN") throw error;
      // A pipe in non-blocking mode that is full: wait for its reader without spinning.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}
