// `npm run graph`: which package imports which, as a Mermaid drawing on standard output. Edges that follow from others are left out.
import { globSync, readFileSync } from "node:fs";

const scope = "@buildkit-ts/";
const imports = new Map<string, readonly string[]>();
for (const file of globSync("{packages,apps}/*/package.json").toSorted()) {
  const { name, dependencies = {} } = JSON.parse(readFileSync(file, "utf8")) as {
    name: string;
    dependencies?: Record<string, string>;
  };
  const targets = Object.keys(dependencies).filter((dependency) => dependency.startsWith(scope));
  imports.set(
    name.slice(scope.length),
    targets.map((target) => target.slice(scope.length)),
  );
}

function reachable(from: string, seen = new Set<string>()): Set<string> {
  for (const next of imports.get(from) ?? []) {
    if (seen.has(next)) continue;
    seen.add(next);
    reachable(next, seen);
  }
  return seen;
}

const edges = [...imports].flatMap(([from, targets]) =>
  targets
    .filter((target) => !targets.some((other) => other !== target && reachable(other).has(target)))
    .map((target) => `  ${from} --> ${target}`),
);
process.stdout.write(`flowchart TD\n${edges.join("\n")}\n`);
