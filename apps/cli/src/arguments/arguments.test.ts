import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { csvFields } from "./csv-fields.ts";
import { type FlagSpec, parseArguments } from "./parse-arguments.ts";
import { parseSecret, parseSsh } from "./parse-attachables.ts";
import { parseCache } from "./parse-cache.ts";
import { parseOutput } from "./parse-output.ts";
import { addShortForm, type BuildShape } from "./short-form.ts";

const specs: readonly FlagSpec[] = [
  { name: "output", aliases: ["o"], kind: "list", description: "" },
  { name: "wait", kind: "boolean", description: "" },
  { name: "timeout", kind: "number", default: 5, description: "" },
  { name: "tag", aliases: ["t"], kind: "list", description: "" },
  { name: "push", kind: "boolean", description: "" },
  { name: "file", aliases: ["f"], kind: "string", description: "" },
  { name: "target", kind: "string", description: "" },
];

suite("parseArguments()", () => {
  test("reads flags in all their forms, between other arguments", () => {
    const args = parseArguments(
      ["-o", "a", "path", "--output=b,c=d", "-wait=false", "--timeout", "7", "--", "-x"],
      specs,
    );
    assert.deepEqual(args.list("output"), ["a", "b,c=d"]);
    assert.equal(args.boolean("wait"), false);
    assert.equal(args.number("timeout"), 7);
    assert.deepEqual(args.positional, ["path", "-x"]);
  });

  test("stops at a command's name if told to", () => {
    const args = parseArguments(["--wait", "build", "--unknown"], specs, { stopsAtPositional: true });
    assert.deepEqual(args.positional, ["build", "--unknown"]);
    assert.equal(args.number("timeout"), 5);
  });

  test("refuses what it does not know", () => {
    assert.throws(() => parseArguments(["--nope"], specs), { message: "flag provided but not defined: -nope" });
    assert.throws(() => parseArguments(["--timeout"], specs), { message: "flag needs an argument: --timeout" });
    assert.throws(() => parseArguments(["--wait=maybe"], specs).boolean("wait"), { code: "invalid_argument" });
  });
});

suite("values of flags", () => {
  test("csvFields() reads quoted fields", () => {
    assert.deepEqual(csvFields('type=image,"name=a,b",x=1'), ["type=image", "name=a,b", "x=1"]);
    assert.deepEqual(csvFields('"say ""hi""",'), ['say "hi"', ""]);
    assert.throws(() => csvFields('a"b'), { code: "invalid_argument" });
  });

  test("parseOutput() tells where outputs go", () => {
    assert.deepEqual(parseOutput("type=local,dest=out,mode=delete"), {
      type: "local",
      attributes: { mode: "delete" },
      target: { kind: "directory", path: "out", mirror: true },
    });
    assert.deepEqual(parseOutput('type=image,"name=a,b",Push=true'), {
      type: "image",
      attributes: { name: "a,b", push: "true" },
    });
    assert.deepEqual(parseOutput("type=oci,tar=false,dest=d").target, { kind: "store", path: "d" });
    assert.throws(() => parseOutput("dest=x"), { message: "--output requires type=<type>" });
    assert.throws(() => parseOutput("type=image,dest=x"), { code: "invalid_argument" });
  });

  test("parseCache() reads bare references", () => {
    assert.deepEqual(parseCache("example.com/c", "export-cache"), {
      type: "registry",
      attributes: { mode: "min", ref: "example.com/c" },
    });
    assert.deepEqual(parseCache("type=local,src=d", "import-cache"), { type: "local", attributes: { src: "d" } });
  });

  test("parseSecret() and parseSsh() read sources", () => {
    assert.deepEqual(parseSecret("id=a,src=f"), { id: "a", filePath: "f" });
    assert.deepEqual(parseSecret("type=env,id=a,src=V"), { id: "a", env: "V" });
    assert.throws(() => parseSecret("id=a,foo=b"), { message: "unexpected key 'foo' in 'foo=b'" });
    assert.deepEqual(parseSsh("default"), { id: "default", raw: false });
    assert.deepEqual(parseSsh("git=/s,raw=true"), { id: "git", raw: true, paths: ["/s"] });
  });

  test("addShortForm() describes a Dockerfile build", () => {
    const empty: BuildShape = { frontend: "", attributes: {}, directories: {}, exports: [] };
    const shape = addShortForm(parseArguments(["src", "-t", "a", "-t", "b", "--push", "-f", "x/Df"], specs), empty);
    assert.deepEqual(shape, {
      frontend: "dockerfile.v0",
      attributes: { filename: "Df" },
      directories: { context: "src", dockerfile: "x" },
      exports: [{ type: "image", attributes: { name: "a,b", push: "true" } }],
    });
    assert.deepEqual(addShortForm(parseArguments(["https://example.com/r.git"], specs), empty).attributes, {
      context: "https://example.com/r.git",
    });
  });
});
