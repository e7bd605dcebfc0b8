import { spawn } from "node:child_process";
import { basename, dirname } from "node:path";
import type { Writable } from "node:stream";
import type { BuildExport } from "@buildkit-ts/client";
import { BuildError } from "@buildkit-ts/errdefs";
import { pairsFromArguments } from "./csv-fields.ts";
import type { ParsedArguments } from "./parse-arguments.ts";

/** A build as its flags describe it. */
export interface BuildShape {
  readonly frontend: string;
  readonly attributes: Record<string, string>;
  readonly directories: Record<string, string>;
  readonly exports: BuildExport[];
}

const shortFlags = ["tag", "file", "target", "build-arg", "platform", "label", "push", "load"];
const remoteContext = /^(?:https?:\/\/|git:\/\/|ssh:\/\/|git@|github\.com\/)/;

/** Whether the build is described as `docker build` does it: `buildctl build -t name .`. */
export function isShortForm(args: ParsedArguments): boolean {
  return args.positional.length > 0 || shortFlags.some((name) => args.has(name));
}

/** Adds what the short form says: a Dockerfile build of a directory or of a remote context. */
export function addShortForm(args: ParsedArguments, shape: BuildShape): BuildShape {
  if (args.positional.length > 1) {
    throw new BuildError("invalid_argument", `Cannot build ${args.positional.length} paths: expected one`);
  }
  const attributes = { ...shape.attributes };
  const directories = { ...shape.directories };
  addContext(args, { attributes, directories });
  if (args.has("target")) attributes["target"] = args.string("target");
  for (const value of args.list("build-arg")) addBuildArgument(attributes, value);
  for (const [key, value] of Object.entries(pairsFromArguments(args.list("label")))) attributes[`label:${key}`] = value;
  if (args.has("platform")) attributes["platform"] = args.list("platform").join(",");
  return {
    frontend: shape.frontend === "" ? "dockerfile.v0" : shape.frontend,
    attributes,
    directories,
    exports: [...shape.exports, ...shortExports(args, shape.exports)],
  };
}

/** Where the sources and the Dockerfile are; what `--opt` and `--local` say goes first. */
function addContext(args: ParsedArguments, shape: Pick<BuildShape, "attributes" | "directories">): void {
  const { attributes, directories } = shape;
  const context = args.positional[0] ?? ".";
  const file = args.string("file");
  if (remoteContext.test(context)) {
    attributes["context"] ??= context;
    if (file !== "") attributes["filename"] ??= file;
    return;
  }
  directories["context"] ??= context;
  directories["dockerfile"] ??= file === "" ? context : dirname(file);
  if (file !== "") attributes["filename"] ??= basename(file);
}

function addBuildArgument(attributes: Record<string, string>, text: string): void {
  const equals = text.indexOf("=");
  const name = equals < 0 ? text : text.slice(0, equals);
  const value = equals < 0 ? process.env[name] : text.slice(equals + 1);
  if (value !== undefined) attributes[`build-arg:${name}`] = value;
}

function shortExports(args: ParsedArguments, given: readonly BuildExport[]): BuildExport[] {
  const tags = args.list("tag");
  const isPushed = args.boolean("push");
  if (isPushed && tags.length === 0) {
    throw new BuildError("invalid_argument", "Cannot push image: it has no name", { hint: "Name it by --tag" });
  }
  const name = tags.join(",");
  const exports: BuildExport[] = [];
  if (args.boolean("load")) {
    const attributes = name === "" ? {} : { name };
    exports.push({ type: "docker", attributes, target: { kind: "file", open: async () => openDockerLoad() } });
  }
  // With outputs of its own, the build's names are theirs to say.
  if (tags.length > 0 && given.length === 0 && (isPushed || exports.length === 0)) {
    exports.push({ type: "image", attributes: { name, ...(isPushed && { push: "true" }) } });
  }
  return exports;
}

function openDockerLoad(): Writable {
  const child = spawn("docker", ["load"], { stdio: ["pipe", "inherit", "inherit"] });
  child.once("error", (error) => {
    child.stdin.destroy(
      new BuildError("unavailable", `Cannot load image into Docker: ${error.message}`, { cause: error }),
    );
  });
  return child.stdin;
}
