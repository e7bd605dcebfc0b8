import type { opspb } from "@buildkit-ts/api";

/** Names of vertices end here: merges name their inputs, so nested ones would double with each level. */
const maxLength = 4096;

/** What the status stream calls an op that has no name of its own. */
export function opName(op: opspb.Op, nameOfInput: (index: number) => string | undefined): string {
  const name = fullName(op, nameOfInput);
  return name.length > maxLength ? `${name.slice(0, maxLength - 1)}…` : name;
}

function fullName(op: opspb.Op, nameOfInput: (index: number) => string | undefined): string {
  const body = op.op;
  switch (body.case) {
    case "source":
      return body.value.identifier;
    case "exec":
      return (body.value.meta?.args ?? []).join(" ");
    case "file":
      return body.value.actions.map(actionName).join(", ");
    case "build":
      return "build";
    case "merge":
      return `merge (${op.inputs.map((_, i) => nameOfInput(i) ?? "").join(", ")})`;
    case "diff":
      return `diff ${sideName(body.value.lower?.input, nameOfInput)} -> ${sideName(body.value.upper?.input, nameOfInput)}`;
    case "passthrough":
      return `passthrough ${body.value.id}`;
    case undefined:
      return "unknown";
  }
}

function sideName(input: bigint | undefined, nameOfInput: (index: number) => string | undefined): string {
  return input === undefined || input < 0n ? "scratch" : `(${nameOfInput(Number(input)) ?? ""})`;
}

function actionName({ action }: opspb.FileAction): string {
  switch (action.case) {
    case "mkdir":
      return `mkdir ${action.value.path}`;
    case "mkfile":
      return `mkfile ${action.value.path}`;
    case "symlink":
      return `symlink ${action.value.newpath} -> ${action.value.oldpath}`;
    case "rm":
      return `rm ${action.value.path}`;
    case "copy":
      return `copy ${action.value.src} ${action.value.dest}`;
    case undefined:
      return "unknown";
  }
}
