import { type Context, createContext, Script } from "node:vm";
import { BuildError } from "@buildkit-ts/errdefs";

const limitMs = 100;
const script = new Script("expression.test(text)");

/**
 * A regular expression from a client. Backtracking can take it forever, so each test has a time limit, which only the
 * `vm` module can enforce on the same thread.
 */
export class SafeRegExp {
  readonly #source: string;
  readonly #context: Context;
  readonly #variables: { expression: RegExp; text: string };

  /** @throws {BuildError} `invalid_argument`, for text that is no regular expression. */
  constructor(source: string) {
    this.#source = source;
    const ignoreCase = source.startsWith("(?i)");
    try {
      const expression = new RegExp(ignoreCase ? source.slice("(?i)".length) : source, ignoreCase ? "iu" : "u");
      this.#variables = { expression, text: "" };
    } catch (error) {
      throw new BuildError("invalid_argument", `Cannot parse regular expression "${source.slice(0, 200)}"`, {
        cause: error,
      });
    }
    this.#context = createContext(this.#variables);
  }

  test(text: string): boolean {
    this.#variables.text = text;
    try {
      return script.runInContext(this.#context, { timeout: limitMs }) === true;
    } catch (error) {
      throw new BuildError(
        "invalid_argument",
        `Cannot match regular expression "${this.#source.slice(0, 200)}": it takes longer than ${limitMs} ms`,
        { cause: error },
      );
    }
  }
}
