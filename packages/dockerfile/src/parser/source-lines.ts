/** Longest line, in bytes without its newline. */
export const maxLineBytes = 65535;

/** Hands out a file's lines one by one, endings kept; stops before a line that is too long. */
export class SourceLines {
  readonly #data: Buffer;
  #offset: number;
  #tooLong = false;

  constructor(data: Uint8Array) {
    this.#data = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    const hasMark = data[0] === 0xef && data[1] === 0xbb && data[2] === 0xbf;
    this.#offset = hasMark ? 3 : 0;
  }

  /** Whether {@linkcode next} stopped because of an oversized line. */
  get tooLong(): boolean {
    return this.#tooLong;
  }

  next(): string | undefined {
    if (this.#tooLong || this.#offset >= this.#data.length) return undefined;
    const newline = this.#data.indexOf(0x0a, this.#offset);
    const end = newline < 0 ? this.#data.length : newline + 1;
    const content = (newline < 0 ? end : newline) - this.#offset;
    if (content > maxLineBytes) {
      this.#tooLong = true;
      return undefined;
    }
    const line = this.#data.toString("utf8", this.#offset, end);
    this.#offset = end;
    return line;
  }
}

/** The line without its ending, however many carriage returns that has. */
export function trimNewline(line: string): string {
  let end = line.length;
  while (end > 0 && (line[end - 1] === "\n" || line[end - 1] === "\r")) end--;
  return line.slice(0, end);
}
