import { parseBool, quote } from "@buildkit-ts/gotext";
import { invalid } from "../text/located-error.ts";
import { cut, trimSpace } from "../text/whitespace.ts";

/** Which rules apply: the value of `# check=` and of the build argument `BUILDKIT_DOCKERFILE_CHECK`. */
export interface LintOptions {
  readonly skipAll: boolean;
  readonly skip: readonly string[];
  readonly experimentalAll: boolean;
  readonly experimental: readonly string[];
  /** Whether a warning fails the build. */
  readonly error: boolean;
}

const defaults: LintOptions = { skipAll: false, skip: [], experimentalAll: false, experimental: [], error: false };

/**
 * Reads `skip=<rules|all>;error=<bool>;experimental=<rules|all>`.
 *
 * @throws {BuildError} `invalid_argument` for anything else.
 */
export function parseLintOptions(text: string): LintOptions {
  let options = defaults;
  const trimmed = trimSpace(text);
  if (trimmed === "") return options;
  const parts = trimmed.split(";");
  // Semicolons after the second one belong to the third option's value.
  for (const part of [...parts.slice(0, 2), ...(parts.length > 2 ? [parts.slice(2).join(";")] : [])])
    options = { ...options, ...readOption(part) };
  return options;
}

function readOption(part: string): Partial<LintOptions> {
  const [key, value] = cut(part, "=");
  if (value === undefined) throw invalid(`invalid check option ${quote(part)}`);
  const name = trimSpace(key);
  const text = trimSpace(value);
  if (name === "skip") return text === "all" ? { skipAll: true } : { skip: list(text) };
  if (name === "experimental") return text === "all" ? { experimentalAll: true } : { experimental: list(text) };
  if (name !== "error") throw invalid(`invalid check option ${quote(name)}`);
  const error = parseBool(text);
  if (error === undefined)
    throw invalid(
      `failed to parse check option ${quote(part)}: strconv.ParseBool: parsing ${quote(text)}: invalid syntax`,
    );
  return { error };
}

function list(text: string): string[] {
  return text.split(",").map(trimSpace);
}
