import { StringDecoder } from "node:string_decoder";

/** More lines than are ever shown. */
const maxLines = 200;
const maxColumns = 1000;
const escape = "\u001b";
const titleEnd = new RegExp(`\u0007|${escape}\\\\`);
const commandPattern = /^([0-9;?]*)[ -/]*([@-~])/;

/**
 * The last lines of a program's output as a terminal would show them: carriage returns, cursor movements and erasing are
 * obeyed within the window, colours and all else dropped.
 */
export class TerminalWindow {
  readonly #decoder = new StringDecoder("utf8");
  readonly #lines: string[][] = [[]];
  #row = 0;
  #column = 0;
  #pendingEscape = "";
  /** Bytes written so far. */
  byteCount = 0;

  write(data: Buffer): void {
    this.byteCount += data.length;
    let text = this.#pendingEscape + this.#decoder.write(data);
    this.#pendingEscape = "";
    while (text !== "") {
      const at = text.search(/\p{Cc}/u);
      this.#print(at < 0 ? text : text.slice(0, at));
      if (at < 0) return;
      text = text.slice(at);
      const used = text.startsWith(escape) ? this.#escape(text) : this.#control(text);
      if (used === 0) {
        // The rest of the sequence comes with the next piece; a sequence is never this long.
        this.#pendingEscape = text.length < 64 ? text : "";
        return;
      }
      text = text.slice(used);
    }
  }

  /** The last lines that are not blank, oldest first. */
  lastLines(count: number): string[] {
    const lines = this.#lines.map((line) =>
      Array.from(line, (cell) => cell ?? " ")
        .join("")
        .trimEnd(),
    );
    return lines.filter((line) => line !== "").slice(-count);
  }

  #print(text: string): void {
    const line = this.#line();
    for (const character of text) {
      if (this.#column < maxColumns) line[this.#column] = character;
      this.#column += 1;
    }
  }

  #control(text: string): number {
    switch (text.charAt(0)) {
      case "\n":
        this.#row += 1;
        this.#column = 0;
        this.#line();
        break;
      case "\r":
        this.#column = 0;
        break;
      case "\b":
        this.#column = Math.max(0, this.#column - 1);
        break;
      case "\t":
        this.#column = (Math.floor(this.#column / 8) + 1) * 8;
        break;
      default:
    }
    return 1;
  }

  /** How many characters the sequence takes; 0 if it is not complete. */
  #escape(text: string): number {
    if (text.length < 2) return 0;
    if (text[1] === "]") {
      // A title or a link: up to BEL or ST.
      const end = titleEnd.exec(text.slice(2));
      return end === null ? 0 : 2 + end.index + end[0].length;
    }
    if (text[1] !== "[") return 2;
    const match = commandPattern.exec(text.slice(2));
    if (match === null) return text.length < 64 ? 0 : 2;
    this.#command(match[2] ?? "", match[1] ?? "");
    return 2 + match[0].length;
  }

  #command(name: string, parameters: string): void {
    const amount = Math.min(maxColumns, Number.parseInt(parameters, 10) || (name === "J" || name === "K" ? 0 : 1));
    switch (name) {
      case "A":
        this.#row = Math.max(0, this.#row - amount);
        break;
      case "B":
        this.#row = Math.min(this.#lines.length - 1, this.#row + amount);
        break;
      case "C":
        this.#column += amount;
        break;
      case "D":
        this.#column = Math.max(0, this.#column - amount);
        break;
      case "G":
        this.#column = amount - 1;
        break;
      case "K":
        this.#eraseLine(amount);
        break;
      case "J":
        this.#eraseScreen(amount);
        break;
      default:
    }
  }

  #eraseLine(mode: number): void {
    const line = this.#line();
    if (mode === 0) line.length = Math.min(line.length, this.#column);
    else if (mode === 2) line.length = 0;
    else line.fill(" ", 0, this.#column + 1);
  }

  #eraseScreen(mode: number): void {
    if (mode === 0) {
      this.#eraseLine(0);
      this.#lines.length = this.#row + 1;
    } else {
      this.#lines.length = 0;
      this.#row = 0;
      this.#column = 0;
      this.#line();
    }
  }

  #line(): string[] {
    while (this.#lines.length <= this.#row) this.#lines.push([]);
    while (this.#lines.length > maxLines) {
      this.#lines.shift();
      this.#row -= 1;
    }
    const line = this.#lines[this.#row] ?? [];
    this.#lines[this.#row] = line;
    return line;
  }
}
