import { isSpace } from "../text/whitespace.ts";

/** Splits text at blanks while it is being read; what was quoted or escaped is added raw and never splits. */
export class WordCollector {
  readonly #words: string[] = [];
  #current = "";

  addRaw(text: string): void {
    this.#current += text;
  }

  addSplitting(text: string): void {
    for (const char of text)
      if (isSpace(char.charCodeAt(0))) this.#flush();
      else this.#current += char;
  }

  finish(): string[] {
    this.#flush();
    return this.#words;
  }

  #flush(): void {
    if (this.#current !== "") this.#words.push(this.#current);
    this.#current = "";
  }
}
