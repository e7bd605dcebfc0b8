import { type opspb, policypb } from "@buildkit-ts/api";
import { BuildError } from "@buildkit-ts/errdefs";
import { Pattern } from "./pattern.ts";

/** How often a source may be changed before it counts as a loop. */
const maxRounds = 20;

/**
 * The rules of source policies: they allow, deny or change the sources of a build.
 *
 * The last rule of a policy that allows or denies counts; a rule that changes the source begins everything anew.
 */
export class PolicyRules {
  readonly #policies: readonly (readonly CompiledRule[])[];

  /** @throws {BuildError} `invalid_argument`, for a rule without selector. */
  constructor(policies: readonly policypb.Policy[]) {
    this.#policies = policies.map(({ rules }) => rules.map(compileRule));
  }

  /**
   * Changes the source in place; tells whether it did.
   *
   * @throws {BuildError} `permission_denied`, for a source that is denied; `failed_precondition`, for rules that go in circles.
   */
  evaluate(source: opspb.SourceOp): boolean {
    for (let round = 0; round <= maxRounds; round += 1) {
      if (!this.#policies.some((rules) => applyPolicy(rules, source))) return round > 0;
    }
    throw new BuildError("failed_precondition", "too many mutations on a single source: too many operations");
  }
}

const knownMatchTypes = new Set<number>(Object.values(policypb.MatchType));

interface CompiledRule {
  readonly rule: policypb.Rule;
  readonly selector: policypb.Selector;
  /** Compiled at first use: a pattern that nothing needs may be wrong. */
  pattern?: Pattern;
}

function compileRule(rule: policypb.Rule): CompiledRule {
  const { selector } = rule;
  if (selector === undefined) throw new BuildError("invalid_argument", "invalid nil selector in policy");
  if (!knownMatchTypes.has(selector.matchType))
    throw new BuildError("invalid_argument", `unknown match type: ${Number(selector.matchType)}`);
  return { rule, selector };
}

/** Whether the source was changed. */
function applyPolicy(rules: readonly CompiledRule[], source: opspb.SourceOp): boolean {
  let isDenied = false;
  for (const compiled of rules) {
    if (!explain("error matching source policy", () => isMatch(compiled, source))) continue;
    const { action } = compiled.rule;
    switch (action) {
      case policypb.PolicyAction.ALLOW:
        isDenied = false;
        break;
      case policypb.PolicyAction.DENY:
        isDenied = true;
        break;
      case policypb.PolicyAction.CONVERT:
        if (explain("error mutating source policy", () => change(compiled, source))) return true;
        break;
      default:
        throw new BuildError(
          "invalid_argument",
          `source policy: rule ${Number(action)} ${compiled.selector.identifier}: unknown type ${JSON.stringify(source.identifier)}`,
        );
    }
  }
  if (isDenied)
    throw new BuildError(
      "permission_denied",
      `source ${JSON.stringify(source.identifier)} denied by policy: source denied by policy`,
    );
  return false;
}

function isMatch(compiled: CompiledRule, source: opspb.SourceOp): boolean {
  const { selector } = compiled;
  if (!selector.constraints.every((constraint) => isMet(constraint, source.attrs))) return false;
  if (selector.identifier === source.identifier) return true;
  return selector.matchType !== policypb.MatchType.EXACT && patternOf(compiled).matches(source.identifier);
}

function isMet({ key, value, condition }: policypb.AttrConstraint, attributes: opspb.SourceOp["attrs"]): boolean {
  const actual = Object.hasOwn(attributes, key) ? (attributes[key] ?? "") : "";
  switch (condition) {
    case policypb.AttrMatch.EQUAL:
      return actual === value;
    case policypb.AttrMatch.NOTEQUAL:
      return actual !== value;
    case policypb.AttrMatch.MATCHES:
      return new Pattern(value).matches(actual);
    default:
      throw new BuildError("invalid_argument", `unknown attr condition: ${Number(condition)}`);
  }
}

function patternOf(compiled: CompiledRule): Pattern {
  const { matchType, identifier } = compiled.selector;
  compiled.pattern ??=
    matchType === policypb.MatchType.REGEX ? new Pattern(identifier) : Pattern.fromWildcard(identifier);
  return compiled.pattern;
}

function change(compiled: CompiledRule, source: opspb.SourceOp): boolean {
  const { updates } = compiled.rule;
  if (updates === undefined) throw new BuildError("invalid_argument", "missing destination for convert rule");
  const target = changedIdentifier(compiled, source.identifier, updates.identifier);
  let isChanged = false;
  if (target !== "" && target !== source.identifier) {
    source.identifier = target;
    isChanged = true;
  }
  for (const [key, value] of Object.entries(updates.attrs)) {
    if (source.attrs[key] === value) continue;
    source.attrs[key] = value;
    isChanged = true;
  }
  return isChanged;
}

function changedIdentifier(compiled: CompiledRule, identifier: string, update: string): string {
  const { selector } = compiled;
  const template = update === "" ? selector.identifier : update;
  if (selector.matchType === policypb.MatchType.EXACT) return template;
  // An identifier may be equal to a pattern that does not match it, such as one with a star.
  const pattern = patternOf(compiled);
  return pattern.matches(identifier) ? pattern.replaceAll(identifier, template) : identifier;
}

function explain<T>(attempt: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    const { code, message } = BuildError.from(error);
    throw new BuildError(code, `${attempt}: ${message}`, { cause: error });
  }
}
