import { BuildError } from "@buildkit-ts/errdefs";
import { type GoValue, goJson, lookup } from "./go-value.ts";

type Node =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "value"; readonly pipeline: string }
  | {
      readonly kind: "range" | "if" | "with";
      readonly pipeline: string;
      readonly body: Node[];
      readonly otherwise: Node[];
    };

/**
 * Renders the part of Go's templates that `--format` is used with: fields, `json`, `len`, `range`, `if`, `with`, `else`,
 * pipes, and `{{-`. The alias `json` stands for `{{json .}}`.
 *
 * @throws {BuildError} `invalid_argument`
 */
export function renderTemplate(template: string, data: GoValue): string {
  const tokens = tokenize(template === "json" ? "{{json .}}" : template);
  const nodes = parse(tokens, false).body;
  return render(nodes, data, data);
}

interface Token {
  readonly isAction: boolean;
  readonly text: string;
}

function tokenize(template: string): Token[] {
  const tokens: Token[] = [];
  let rest = template;
  let trimsNext = false;
  while (rest !== "") {
    const open = rest.indexOf("{{");
    const text = open < 0 ? rest : rest.slice(0, open);
    const close = open < 0 ? -1 : rest.indexOf("}}", open);
    if (open >= 0 && close < 0) throw invalid("unclosed action");
    const inner = open < 0 ? "" : rest.slice(open + 2, close);
    const trimsBefore = inner.startsWith("- ");
    const start = trimsNext ? text.trimStart() : text;
    tokens.push({ isAction: false, text: trimsBefore ? start.trimEnd() : start });
    if (open < 0) break;
    trimsNext = inner.endsWith(" -");
    tokens.push({ isAction: true, text: inner.replace(/^- /, "").replace(/ -$/, "").trim() });
    rest = rest.slice(close + 2);
  }
  return tokens;
}

function parse(tokens: Token[], isNested: boolean): { readonly body: Node[]; readonly otherwise: Node[] } {
  const body: Node[] = [];
  const otherwise: Node[] = [];
  let current = body;
  for (let token = tokens.shift(); token !== undefined; token = tokens.shift()) {
    if (!token.isAction) {
      current.push({ kind: "text", text: token.text });
      continue;
    }
    const [word = ""] = token.text.split(/\s/, 1);
    if (word === "end") {
      if (!isNested) throw invalid("unexpected {{end}}");
      return { body, otherwise };
    }
    if (word === "else") current = otherwise;
    else if (word === "range" || word === "if" || word === "with") {
      current.push({ kind: word, pipeline: token.text.slice(word.length).trim(), ...parse(tokens, true) });
    } else if (!token.text.startsWith("/*")) current.push({ kind: "value", pipeline: token.text });
  }
  if (isNested) throw invalid("unexpected EOF");
  return { body, otherwise };
}

function render(nodes: readonly Node[], dot: GoValue, root: GoValue): string {
  return nodes.map((node) => renderNode(node, dot, root)).join("");
}

function renderNode(node: Node, dot: GoValue, root: GoValue): string {
  if (node.kind === "text") return node.text;
  const value = evaluate(node.pipeline, dot, root);
  if (node.kind === "value") return print(value);
  if (node.kind === "if") return render(isTrue(value) ? node.body : node.otherwise, dot, root);
  if (node.kind === "with") return isTrue(value) ? render(node.body, value, root) : render(node.otherwise, dot, root);
  const items = Array.isArray(value) ? value : value instanceof Map ? [...value.values()] : [];
  if (items.length === 0) return render(node.otherwise, dot, root);
  return items.map((item) => render(node.body, item as GoValue, root)).join("");
}

function evaluate(pipeline: string, dot: GoValue, root: GoValue): GoValue {
  let value: GoValue;
  for (const [index, part] of splitPipes(pipeline).entries()) {
    const words = part.match(/"(?:[^"\\]|\\.)*"|`[^`]*`|[^\s]+/g) ?? [];
    const args = index === 0 ? words : [...words];
    value = call(args, { dot, root, piped: index === 0 ? undefined : { value } });
  }
  return value;
}

function splitPipes(pipeline: string): string[] {
  return (pipeline.match(/(?:"(?:[^"\\]|\\.)*"|`[^`]*`|[^|"`])+/g) ?? [""]).map((part) => part.trim());
}

interface Scope {
  readonly dot: GoValue;
  readonly root: GoValue;
  readonly piped: { readonly value: GoValue } | undefined;
}

function call(words: readonly string[], scope: Scope): GoValue {
  const [first = ""] = words;
  if (!/^[a-z]/i.test(first) || /^(?:true|false|nil)$/.test(first)) return operand(first, scope);
  const args = words.slice(1).map((word) => operand(word, scope));
  if (scope.piped !== undefined) args.push(scope.piped.value);
  const run = functions.get(first);
  if (run === undefined) throw invalid(`function "${first}" not defined`);
  return run(args);
}

const functions: ReadonlyMap<string, (args: readonly GoValue[]) => GoValue> = new Map([
  ["json", (args) => goJson(args[0])],
  ["len", (args) => lengthOf(args[0])],
  ["not", (args) => !isTrue(args[0])],
  ["eq", (args) => args.slice(1).some((arg) => arg === args[0])],
  ["ne", (args) => args[0] !== args[1]],
  ["and", (args) => args.find((arg) => !isTrue(arg)) ?? args.at(-1)],
  ["or", (args) => args.find(isTrue) ?? args.at(-1)],
  ["index", (args) => lookup(args[0], print(args[1]))],
  ["print", (args) => args.map(print).join(" ")],
  ["println", (args) => `${args.map(print).join(" ")}\n`],
  ["printf", (args) => formatVerbs(print(args[0]), args.slice(1))],
]);

function lengthOf(value: GoValue): number {
  if (Array.isArray(value)) return value.length;
  return value instanceof Map ? value.size : Buffer.byteLength(print(value));
}

function operand(word: string, scope: Scope): GoValue {
  if (word.startsWith('"')) return JSON.parse(word) as string;
  if (word.startsWith("`")) return word.slice(1, -1);
  if (/^-?\d+$/.test(word)) return Number(word);
  if (word === "true" || word === "false") return word === "true";
  if (word === "nil") return undefined;
  const isRoot = word.startsWith("$");
  let value = isRoot ? scope.root : scope.dot;
  const path = isRoot ? word.slice(1) : word;
  if (!/^(?:\.|(?:\.\w+)+|)$/.test(path)) throw invalid(`unexpected ${JSON.stringify(word)} in operand`);
  for (const field of path.split(".").filter(Boolean)) value = lookup(value, field);
  return value;
}

function formatVerbs(format: string, args: readonly GoValue[]): string {
  let next = 0;
  return format.replaceAll(/%(-?\d*)(?:\.(\d+))?([sdvqf%])/g, (...match: string[]) => {
    const [, width = "", digits, verb = ""] = match;
    if (verb === "%") return "%";
    const value = args[next];
    next += 1;
    const plain = verb === "f" ? Number(value).toFixed(digits === undefined ? 6 : Number(digits)) : print(value);
    const text = verb === "q" ? JSON.stringify(plain) : plain;
    return width.startsWith("-") ? text.padEnd(Number(width.slice(1))) : text.padStart(Number(width));
  });
}

function isTrue(value: GoValue): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (value instanceof Map) return value.size > 0;
  return Boolean(value);
}

function print(value: GoValue): string {
  if (value === undefined || value === null) return "<no value>";
  if (Array.isArray(value)) return `[${value.map((item) => print(item as GoValue)).join(" ")}]`;
  if (value instanceof Map) {
    const keys = [...value.keys()].sort(compareText);
    return `map[${keys.map((key) => `${key}:${print(value.get(key))}`).join(" ")}]`;
  }
  return typeof value === "object" ? goJson(value) : String(value);
}

function compareText(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

function invalid(message: string): BuildError {
  return new BuildError("invalid_argument", `template: ${message}`);
}
