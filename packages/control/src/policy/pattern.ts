import { BuildError } from "@buildkit-ts/errdefs";
import { RE2JS } from "re2js";

/** What a pattern found: group 0 is all of it. */
interface Groups {
  group(name: string): string;
}

const maxPatternLength = 64 * 1024;

/**
 * A regular expression of Go's kind. It takes time in proportion to the text, whoever wrote it: patterns come from
 * clients and frontends, and JavaScript's own can be made to run for ever.
 */
export class Pattern {
  readonly #expression: RE2JS;

  /** @throws {BuildError} `invalid_argument`, for what is no regular expression. */
  constructor(expression: string) {
    try {
      if (expression.length > maxPatternLength) throw new Error(`longer than ${maxPatternLength} characters`);
      this.#expression = RE2JS.compile(expression);
    } catch (error) {
      const shown = JSON.stringify(expression.slice(0, 200));
      throw new BuildError("invalid_argument", `invalid regex ${shown}: ${(error as Error).message}`, { cause: error });
    }
  }

  /** A pattern in which only `*` has a meaning: any text, also none, which is a group. */
  static fromWildcard(wildcard: string): Pattern {
    if (wildcard.includes("**"))
      throw new BuildError(
        "invalid_argument",
        `failed to translate wildcard ${JSON.stringify(wildcard.slice(0, 200))} to regexp: invalid wildcard: "**"`,
      );
    return new Pattern(
      `^${wildcard
        .split("*")
        .map((text) => RE2JS.quote(text))
        .join("(.*)")}$`,
    );
  }

  matches(text: string): boolean {
    return this.#expression.matcher(text).find();
  }

  /** The text with every match replaced by the template, in which `$1`, `${1}` and `${name}` stand for groups. */
  replaceAll(text: string, template: string): string {
    const matcher = this.#expression.matcher(text);
    const names = this.#expression.namedGroups();
    let result = "";
    let end = 0;
    while (matcher.find()) {
      const group = (name: string): string => {
        const index = /^\d+$/.test(name) ? Number(name) : names[name];
        return index === undefined || index > matcher.groupCount() ? "" : (matcher.group(index) ?? "");
      };
      result += text.slice(end, matcher.start()) + expandTemplate(template, { group });
      end = matcher.end();
    }
    return result + text.slice(end);
  }
}

/** Go's `regexp.Expand`: the longest run of letters, digits and underscores is the name; `$$` is a dollar sign. */
function expandTemplate(template: string, groups: Groups): string {
  return template.replace(/\$(\$|\w+|\{\w+\})/g, (_match, name: string) =>
    name === "$" ? "$" : groups.group(name.replace(/^\{|\}$/g, "")),
  );
}
