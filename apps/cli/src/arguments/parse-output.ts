import { createWriteStream, statSync } from "node:fs";
import type { Writable } from "node:stream";
import type { BuildExport } from "@buildkit-ts/client";
import { BuildError } from "@buildkit-ts/errdefs";
import { parseBool } from "@buildkit-ts/gotext";
import { csvPairs } from "./csv-fields.ts";

/** Reads `--output type=…,dest=…`. @throws {BuildError} `invalid_argument` */
export function parseOutput(text: string): BuildExport {
  const attributes: Record<string, string> = {};
  let type = "";
  for (const [key, value] of csvPairs(text, (field) => `invalid value ${field}`)) {
    if (key === "type") type = value;
    else attributes[key] = value;
  }
  if (type === "") throw new BuildError("invalid_argument", "--output requires type=<type>");
  const wrong = attributes["output"];
  if (wrong !== undefined) {
    const message = `output=${wrong} not supported for --output, you meant dest=${wrong}?`;
    throw new BuildError("invalid_argument", message);
  }
  const target = targetOf(type, attributes);
  if (target === undefined) return { type, attributes };
  const { dest: _taken, ...rest } = attributes;
  return { type, attributes: rest, target };
}

function targetOf(type: string, attributes: Readonly<Record<string, string>>): BuildExport["target"] {
  const dest = attributes["dest"] ?? "";
  const isLayout = parseBool(attributes["tar"] ?? "") === false;
  switch (type) {
    case "local":
      if (dest === "") throw invalid(`output directory is required for ${type} exporter`);
      return { kind: "directory", path: dest, mirror: isMirror(attributes["mode"] ?? "") };
    case "tar":
      return fileTarget(type, dest);
    case "oci":
    case "docker":
      if (!isLayout) return fileTarget(type, dest);
      if (dest === "") throw invalid(`output directory is required for ${type} exporter`);
      return { kind: "store", path: dest };
    default:
      if (dest !== "") throw invalid(`output ${dest} is not supported by ${type} exporter`);
      return undefined;
  }
}

function isMirror(mode: string): boolean {
  if (mode === "" || mode === "copy") return false;
  if (mode === "delete") return true;
  throw invalid(`invalid local exporter mode ${JSON.stringify(mode)}`);
}

function fileTarget(type: string, dest: string): BuildExport["target"] {
  if (dest !== "" && dest !== "-") {
    if (statSync(dest, { throwIfNoEntry: false })?.isDirectory() === true)
      throw invalid("destination file is a directory");
    return { kind: "file", open: async () => await openFile(dest) };
  }
  if (process.stdout.isTTY) {
    throw new BuildError(
      "invalid_argument",
      `invalid output option: output: output file is required for ${type} exporter. refusing to write to console`,
    );
  }
  return { kind: "file", open: async () => process.stdout };
}

async function openFile(path: string): Promise<Writable> {
  const file = createWriteStream(path, { highWaterMark: 1 << 20 });
  await new Promise<void>((resolve, reject) => {
    file.once("open", () => resolve());
    file.once("error", (error) =>
      reject(new BuildError("invalid_argument", `Cannot write output "${path}"`, { cause: error })),
    );
  });
  return file;
}

function invalid(message: string): BuildError {
  return new BuildError("invalid_argument", `invalid output option: output: ${message}`);
}
