import type { SourceRange } from "@buildkit-ts/errdefs";
import { DirectiveReader } from "../parser/directives.ts";
import { invalid } from "../text/located-error.ts";
import { cut } from "../text/whitespace.ts";
import { type LintOptions, parseLintOptions } from "./lint-options.ts";
import type { Rule } from "./rules.ts";

/** A rule that was broken somewhere. */
export interface LintWarning {
  readonly rule: string;
  readonly description: string;
  readonly url: string;
  readonly message: string;
  readonly location: readonly SourceRange[];
}

/** Where warnings go. */
export type WarningSink = (warning: LintWarning) => void;

/** Applies the rules that are switched on. */
export class Linter {
  readonly #options: LintOptions;
  readonly #sink: WarningSink | undefined;
  readonly #broken: Set<string>;

  /** Without a sink nothing is reported, and nothing fails. */
  constructor(options: LintOptions, sink: WarningSink | undefined, broken: Set<string> = new Set()) {
    this.#options = options;
    this.#sink = sink;
    this.#broken = broken;
  }

  report<Args extends readonly string[]>(rule: Rule<Args>, location: readonly SourceRange[], ...args: Args): void {
    if (this.#sink === undefined || !this.#applies(rule.name, rule.experimental)) return;
    this.#broken.add(rule.name);
    const { name, description, url } = rule;
    this.#sink({ rule: name, description, url, message: rule.message(...args), location });
  }

  #applies(name: string, experimental: boolean): boolean {
    if (experimental) return this.#options.experimentalAll || this.#options.experimental.includes(name);
    return !this.#options.skipAll && !this.#options.skip.includes(name);
  }

  /** The linter for an instruction below these comments, of which `# check=…` may switch rules. */
  forComments(comments: readonly string[]): Linter {
    const extra = comments.length === 0 ? undefined : checkComment(comments);
    if (extra === undefined) return this;
    const { skip, experimental, skipAll, experimentalAll } = this.#options;
    const merged = {
      ...this.#options,
      skipAll: skipAll || extra.skipAll,
      experimentalAll: experimentalAll || extra.experimentalAll,
      skip: [...skip, ...extra.skip],
      experimental: [...experimental, ...extra.experimental],
    };
    return new Linter(merged, this.#sink, this.#broken);
  }

  /** @throws {BuildError} `invalid_argument` if warnings are to fail the build and there was one. */
  failOnWarnings(): void {
    if (!this.#options.error || this.#broken.size === 0) return;
    throw invalid(`lint violation found for rules: ${[...this.#broken].join(", ")}`);
  }
}

function checkComment(comments: readonly string[]): LintOptions | undefined {
  for (const comment of comments) {
    const directive = new DirectiveReader("").read(comment);
    if (directive?.name !== "check") continue;
    try {
      return parseLintOptions(cut(directive.value, " ")[0]);
    } catch {
      // A comment that only looks like an option is no error.
      return undefined;
    }
  }
  return undefined;
}
