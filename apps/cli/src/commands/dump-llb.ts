import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { fromBinary, type JsonValue, toJson } from "@bufbuild/protobuf";
import { DefinitionSchema, type Op, OpMetadataSchema, OpSchema } from "@buildkit-ts/api/buildkit/ops";
import { BuildError } from "@buildkit-ts/errdefs";
import type { CommandContext } from "../command.ts";

interface DecodedOp {
  readonly op: Op;
  readonly digest: string;
  readonly metadata: JsonValue;
}

/** Shows the operations of a definition, as lines of JSON or as a graph. */
export async function dumpLlb({ args }: CommandContext): Promise<void> {
  const [path = "-"] = args.positional;
  const ops = decode(readFileSync(path === "-" ? 0 : path));
  const text = args.boolean("dot") ? formatDot(ops) : ops.map(formatJson).join("");
  process.stdout.write(text);
}

function decode(bytes: Uint8Array): DecodedOp[] {
  try {
    const definition = fromBinary(DefinitionSchema, bytes);
    return definition.def.map((encoded) => {
      const digest = `sha256:${createHash("sha256").update(encoded).digest("hex")}`;
      const metadata = definition.metadata[digest];
      return {
        op: fromBinary(OpSchema, encoded),
        digest,
        metadata: metadata === undefined ? {} : toJson(OpMetadataSchema, metadata),
      };
    });
  } catch (error) {
    throw new BuildError("invalid_argument", "failed to parse input: malformed definition", { cause: error });
  }
}

function formatJson({ op, digest, metadata }: DecodedOp): string {
  const encoded = toJson(OpSchema, op) as Readonly<Record<string, JsonValue>>;
  const { inputs, platform, constraints, ...kind } = encoded;
  const shaped = { inputs, Op: kind, platform, constraints };
  return `${JSON.stringify({ Op: shaped, Digest: digest, OpMetadata: metadata })}\n`;
}

function formatDot(ops: readonly DecodedOp[]): string {
  let text = "digraph {\n";
  for (const { op, digest } of ops) {
    const { label, shape } = describe(op, digest);
    text += `  ${quote(digest)} [label=${quote(label)} shape=${quote(shape)}];\n`;
  }
  for (const { op, digest } of ops) {
    for (const [index, input] of op.inputs.entries()) {
      const mounts = op.op.case === "exec" ? op.op.value.mounts : [];
      const label = mounts.findLast((mount) => Number(mount.input) === index && mount.dest !== "/")?.dest ?? "";
      text += `  ${quote(input.digest)} -> ${quote(digest)} [label=${quote(label)}];\n`;
    }
  }
  return `${text}}\n`;
}

function describe({ op }: Op, digest: string): { readonly label: string; readonly shape: string } {
  switch (op.case) {
    case "source":
      return { label: op.value.identifier, shape: "ellipse" };
    case "exec":
      return { label: op.value.meta?.args.join(" ") ?? "", shape: "box" };
    case "build":
      return { label: "build", shape: "box3d" };
    case "merge":
      return { label: "merge", shape: "invtriangle" };
    case "diff":
      return { label: "diff", shape: "doublecircle" };
    case "file":
      return { label: op.value.actions.map(({ action }) => describeAction(action)).join(","), shape: "note" };
    case "passthrough":
    case undefined:
      return { label: digest, shape: "plaintext" };
    default:
      return op satisfies never;
  }
}

type FileAction = Extract<Op["op"], { case: "file" }>["value"]["actions"][number]["action"];

function describeAction(action: FileAction): string {
  switch (action.case) {
    case "copy":
      return `copy{src=${action.value.src}, dest=${action.value.dest}}`;
    case "mkfile":
      return `mkfile{path=${action.value.path}}`;
    case "mkdir":
      return `mkdir{path=${action.value.path}}`;
    case "rm":
      return `rm{path=${action.value.path}}`;
    case "symlink":
      return `symlink{oldpath=${action.value.oldpath}, newpath=${action.value.newpath}}`;
    case undefined:
      return "";
    default:
      return action satisfies never;
  }
}

function quote(text: string): string {
  return JSON.stringify(text);
}
