import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { suite, test } from "node:test";

const anyPackage = "any package";

/** The table "may import" of ARCHITECTURE.md, which this test keeps true: folder → names, or undefined for all. */
function readAllowed(markdown: string): ReadonlyMap<string, ReadonlySet<string> | undefined> {
  const rows = [...markdown.matchAll(/^\| `([\w-]+)`( \(app\))? \|.*\|([^|]*)\|$/gm)];
  return new Map(
    rows.map(([, name = "", app, allowed = ""]) => [
      `${app === undefined ? "packages" : "apps"}/${name}`,
      allowed.includes(anyPackage) ? undefined : new Set([...allowed.matchAll(/`([\w-]+)`/g)].map(([, n = ""]) => n)),
    ]),
  );
}

function findViolations(folder: string, source: string, allowed: ReadonlySet<string> | undefined): string[] {
  const specifiers = [
    ...source.matchAll(/^(?:import|export)\b[^;]*?["']([^"']+)["'];?$|\bimport\(\s*["']([^"']+)["']/gms),
  ].map(([, s = "", dynamic]) => dynamic ?? s);
  return specifiers.filter((specifier) => {
    // A path after the name is one of the package's own `exports`; what they leave out cannot be imported at all.
    const [, target] = /^@buildkit-ts\/([\w-]+)(\/(?!src\/).+)?$/.exec(specifier) ?? [];
    if (target !== undefined) return allowed !== undefined && `packages/${target}` !== folder && !allowed.has(target);
    return specifier.startsWith("@buildkit-ts/") || /^(\.\.\/)+((packages|apps)\/)?[\w-]+\/src\//.test(specifier);
  });
}

suite("ARCHITECTURE.md", () => {
  const allowed = readAllowed(readFileSync("ARCHITECTURE.md", "utf8"));
  const folders = globSync("{packages,apps}/*").toSorted();

  test("lists each package once, and no other", () => {
    assert.deepEqual([...allowed.keys()].toSorted(), folders);
  });

  test("has no cycle", () => {
    const done = new Set<string>();
    const visit = (name: string, path: readonly string[]): void => {
      assert.ok(!path.includes(name), [...path, name].join(" → "));
      if (done.has(name)) return;
      for (const next of allowed.get(name) ?? []) visit(`packages/${next}`, [...path, name]);
      done.add(name);
    };
    for (const name of allowed.keys()) visit(name, []);
  });

  for (const [folder, names] of allowed) {
    test(`${folder} imports only what it may`, () => {
      const violations = globSync(`${folder}/src/**/*.ts`).flatMap((file) =>
        findViolations(folder, readFileSync(file, "utf8"), names).map((specifier) => `${file}: ${specifier}`),
      );
      assert.deepEqual(violations, []);
      const manifest = JSON.parse(readFileSync(`${folder}/package.json`, "utf8")) as {
        dependencies?: Record<string, string>;
      };
      const declared = Object.keys(manifest.dependencies ?? {})
        .filter((name) => name.startsWith("@buildkit-ts/"))
        .map((name) => name.slice("@buildkit-ts/".length));
      assert.deepEqual(
        declared.filter((name) => names !== undefined && !names.has(name)),
        [],
      );
    });
  }

  test("the check itself catches an upward, a deep and a relative import", () => {
    for (const specifier of ["@buildkit-ts/solver", "@buildkit-ts/oci/src/digest.ts", "../../solver/src/solve.ts"]) {
      assert.deepEqual(findViolations("packages/oci", `import type { A } from "${specifier}";`, new Set()), [
        specifier,
      ]);
    }
  });
});
