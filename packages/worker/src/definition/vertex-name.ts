import type { opspb } from "@buildkit-ts/api";
import { invalid } from "./validate-op.ts";

/** The name of a vertex that was given none: what it does, in the words that clients print. */
export function vertexName(op: opspb.Op, inputNames: readonly string[]): string {
  switch (op.op.case) {
    case "source":
      return op.op.value.identifier;
    case "exec":
      return (op.op.value.meta?.args ?? []).join(" ");
    case "file":
      return op.op.value.actions.flatMap(actionName).join(", ");
    case "build":
      return "build";
    case "merge":
      return `merge (${inputNames.join(", ")})`;
    case "diff": {
      const { lower, upper } = op.op.value;
      return `diff ${diffSideName(lower?.input, inputNames)} -> ${diffSideName(upper?.input, inputNames)}`;
    }
    case "passthrough":
      return `passthrough ${op.op.value.id}`;
    case undefined:
      return "unknown";
  }
}

function diffSideName(input: bigint | undefined, inputNames: readonly string[]): string {
  if (input === -1n) return "scratch";
  const name = inputNames[Number(input)];
  if (name === undefined) throw invalid(`invalid diff input index ${input}`);
  return `(${name})`;
}

function actionName({ action }: opspb.FileAction): string[] {
  switch (action.case) {
    case "mkdir":
      return [`mkdir ${action.value.path}`];
    case "mkfile":
      return [`mkfile ${action.value.path}`];
    case "symlink":
      return [`symlink ${action.value.newpath} -> ${action.value.oldpath}`];
    case "rm":
      return [`rm ${action.value.path}`];
    case "copy":
      return [`copy ${action.value.src} ${action.value.dest}`];
    case undefined:
      return [];
  }
}
