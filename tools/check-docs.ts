// Type-checks the examples of the documentation: every ```ts block of a Markdown file, as a module of its own.
import { spawnSync } from "node:child_process";
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const folder = resolve(".cache/doc-examples");
/** What an example may take as given: it stands in the middle of somebody's program. */
const prelude = "declare const signal: AbortSignal;\nexport {};\n";

rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const origins = new Map<string, string>();
for (const file of globSync("{*.md,docs/**/*.md,{packages,apps,examples}/*/**/*.md}", {
  exclude: ["**/node_modules/**"],
})) {
  const text = readFileSync(file, "utf8");
  for (const match of text.matchAll(/^```ts\n(.*?)^```$/gms)) {
    const name = `example-${origins.size + 1}.ts`;
    const line = text.slice(0, match.index).split("\n").length;
    origins.set(name, `${file}:${line}`);
    writeFileSync(join(folder, name), prelude + match[1]);
  }
}
writeFileSync(
  join(folder, "tsconfig.json"),
  JSON.stringify({
    extends: "../../tsconfig.base.json",
    compilerOptions: { noEmit: true, noUnusedLocals: false },
    include: ["*.ts"],
  }),
);
const { status, stdout } = spawnSync("node_modules/.bin/tsc", ["-p", folder, "--pretty", "false"], {
  encoding: "utf8",
});
if (origins.size === 0) throw new Error("Cannot find an example in any Markdown file: is the pattern still right?");
process.stdout.write(
  stdout.replaceAll(/\S*\b(example-\d+\.ts)/g, (_path, name: string) => `${origins.get(name)} (${name})`),
);
process.exitCode = status ?? 1;
