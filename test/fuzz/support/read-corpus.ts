import { readdirSync, readFileSync } from "node:fs";

/** One case of the corpus: what is read, and what shall come of it. */
export interface CorpusCase {
  readonly name: string;
  readonly data: Buffer;
  readonly expected: string;
}

const folder = new URL("../corpus/", import.meta.url);

/** The areas that have cases. */
export function corpusAreas(): string[] {
  return readdirSync(folder).flatMap((name) => (name.endsWith(".txt") ? [name.slice(0, -".txt".length)] : []));
}

/**
 * The cases of one area. Each begins with `=== <name>`, has the text, a line `---`, and the outcome. Bytes that an editor
 * would not keep are written as `{{hex}}`.
 */
export function readCorpus(area: string): CorpusCase[] {
  const file = readFileSync(new URL(`${area}.txt`, folder), "utf8");
  const [, ...parts] = file.split(/^=== /m);
  return parts.map((part) => {
    const [, name = "", text = "", expected = ""] = /^(.*)\n([^]*?)^---\n([^]*)$/m.exec(part) ?? [];
    if (name === "") throw new TypeError(`A case of ${area} has no name or no outcome: ${part.slice(0, 100)}`);
    return { name, data: unescapeBytes(text), expected: expected.trimEnd() };
  });
}

function unescapeBytes(text: string): Buffer {
  const parts = text.split(/\{\{([0-9a-f]+)\}\}/);
  return Buffer.concat(parts.map((part, index) => Buffer.from(part, index % 2 === 1 ? "hex" : "utf8")));
}
