import type { BuildFile } from "@buildkit-ts/frontend";

/** One recipe: what it needs first, and its commands, each with its line. */
export interface Recipe {
  readonly name: string;
  readonly line: number;
  readonly dependencies: readonly string[];
  readonly commands: readonly { readonly text: string; readonly line: number }[];
}

/** A Justfile: variables with their defaults, and recipes in their order. */
export interface Justfile {
  readonly variables: ReadonlyMap<string, string>;
  readonly recipes: ReadonlyMap<string, Recipe>;
}

const assignment = /^(\w+)\s*:=\s*(?:"([^"]*)"|'([^']*)')\s*(?:#.*)?$/;
const header = /^([\w-]+)\s*:((?:\s+[\w-]+)*)\s*(?:#.*)?$/;

/** @throws {SourceError} with the line that is neither an assignment, nor a recipe, nor part of one. */
export function parseJustfile(file: BuildFile): Justfile {
  const variables = new Map<string, string>();
  const recipes = new Map<string, Recipe>();
  let commands: { text: string; line: number }[] | undefined;
  for (const [index, text] of file.text.split("\n").entries()) {
    const line = index + 1;
    if (/^\s*(#.*)?$/.test(text)) continue;
    if (/^\s/.test(text)) {
      if (commands === undefined) throw file.error("This command belongs to no recipe", { first: line });
      commands.push({ text: text.trim(), line });
      continue;
    }
    const [, variable, double, single] = assignment.exec(text) ?? [];
    if (variable !== undefined) {
      variables.set(variable, double ?? single ?? "");
      commands = undefined;
      continue;
    }
    const [, name, needs = ""] = header.exec(text) ?? [];
    if (name === undefined) throw file.error('Expected `name := "value"` or `recipe: dependencies`', { first: line });
    if (recipes.has(name)) throw file.error(`Recipe "${name}" is there twice`, { first: line });
    commands = [];
    recipes.set(name, { name, line, dependencies: needs.split(/\s+/).filter((need) => need !== ""), commands });
  }
  return { variables, recipes };
}
