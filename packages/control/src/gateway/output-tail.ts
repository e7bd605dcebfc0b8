/** What is kept of the end of an output, to be shown if its process fails. */
const maxTailBytes = 4096;
/** What is logged of an output at most: a process may write without an end. */
const maxLoggedBytes = 256 << 10;

/** A process's error output: its lines go to a log, up to a limit, and its end is kept. */
export class OutputTail {
  readonly #log: (line: string) => void;
  #tail = Buffer.alloc(0);
  #line = "";
  #logged = 0;

  constructor(log: (line: string) => void) {
    this.#log = log;
  }

  write(data: Uint8Array): void {
    const last = data.subarray(Math.max(0, data.length - maxTailBytes));
    const joined = Buffer.concat([this.#tail, last]);
    this.#tail = joined.subarray(Math.max(0, joined.length - maxTailBytes));
    if (this.#logged >= maxLoggedBytes) return;
    this.#logged += data.length;
    const lines = (this.#line + Buffer.from(data).toString("utf8")).split("\n");
    this.#line = lines.pop() ?? "";
    for (const line of lines) this.#log(line);
    if (this.#logged >= maxLoggedBytes) this.#log("[what follows is not logged]");
  }

  /** The end of what was written, without the white space around it. */
  text(): string {
    return this.#tail.toString("utf8").trim();
  }
}
