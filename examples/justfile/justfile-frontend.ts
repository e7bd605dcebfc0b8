import { type BuildFile, buildContext, buildImages, type Frontend, readBuildFile } from "@buildkit-ts/frontend";
import { copy, image, type State } from "@buildkit-ts/llb";
import { type Justfile, parseJustfile, type Recipe } from "./parse-justfile.ts";

const workDirectory = "/work";

/**
 * Builds a recipe of a Justfile, with all that it depends on, upon the image that the variable `image` names.
 *
 * The recipe is the one that the build's target names, else the file's first. Variables are overridden by build arguments.
 */
export const justfileFrontend: Frontend = async (client, { signal }) => {
  const file = await readBuildFile(client, { defaultName: "Justfile", language: "just", signal });
  const justfile = withArguments(parseJustfile(file), client.options);
  const order = recipeOrder(justfile, file, client.options["target"]);
  const base = justfile.variables.get("image") ?? "docker.io/library/alpine:latest";
  const context = await buildContext(client, { excludePatterns: [".git"] });
  return await buildImages(
    client,
    async (platform) => {
      const { config, ref } = await client.resolveImage(base, { platform, logName: `[base] ${base}` }, { signal });
      const start = image(ref, { platform })
        .dir(workDirectory)
        .file(copy(context, { src: "/", dest: workDirectory }, { copyDirContentsOnly: true, createDestPath: true }));
      const state = order.reduce((below, recipe) => runRecipe(below, recipe, { justfile, file }), start);
      const parsed = JSON.parse(new TextDecoder().decode(config)) as { config?: object };
      return { state, config: { config: { ...parsed.config, WorkingDir: workDirectory } } };
    },
    { signal },
  );
};

function withArguments(justfile: Justfile, options: Readonly<Record<string, string>>): Justfile {
  const variables = new Map([...justfile.variables].map(([k, v]) => [k, options[`build-arg:${k}`] ?? v] as const));
  return { ...justfile, variables };
}

/** The recipe and all that it needs, each once, dependencies first. */
function recipeOrder({ recipes }: Justfile, file: BuildFile, target: string | undefined): readonly Recipe[] {
  const order = new Set<Recipe>();
  const visit = (name: string, path: readonly string[], line: number): void => {
    const recipe = recipes.get(name);
    const known = [...recipes.keys()].join(", ");
    if (recipe === undefined) throw file.error(`There is no recipe "${name}", only: ${known}`, { first: line });
    if (path.includes(name))
      throw file.error(`Recipes need each other: ${[...path, name].join(" → ")}`, { first: line });
    if (order.has(recipe)) return;
    for (const dependency of recipe.dependencies) visit(dependency, [...path, name], recipe.line);
    order.add(recipe);
  };
  const [first] = recipes.keys();
  const wanted = target === undefined || target === "" ? first : target;
  if (wanted === undefined) throw file.error("A Justfile needs a recipe", { first: 1 });
  visit(wanted, [], 1);
  return [...order];
}

function runRecipe(
  state: State,
  recipe: Recipe,
  { justfile, file }: { readonly justfile: Justfile; readonly file: BuildFile },
): State {
  return recipe.commands.reduce((below, { text, line }) => {
    const command = text.replaceAll(/\{\{\s*(\w+)\s*\}\}/g, (_all, name: string) => {
      const value = justfile.variables.get(name);
      if (value === undefined) throw file.error(`Variable "${name}" is not set`, { first: line });
      return value;
    });
    const customName = `[${recipe.name}] ${command}`;
    return below.run(command.replace(/^@/, ""), { customName, locations: [file.location(line)] });
  }, state);
}
