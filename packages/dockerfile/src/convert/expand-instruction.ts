import type { ArgDefinition, Instruction } from "../instructions/instruction.ts";
import { parseMount, type RunMount } from "../instructions/run-mount.ts";
import { undefinedVar } from "../lint/rules.ts";
import type { Environment } from "../shell/environment.ts";
import { expandWord } from "../shell/shell-words.ts";
import { suggest } from "../text/suggest.ts";
import type { Dispatch } from "./dispatch-context.ts";

/** Arguments that are never set as variables. */
export const hiddenArgs: ReadonlySet<string> = new Set(["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"]);

/** An instruction with its variables expanded. RUN's are its shell's; ARG's and EXPOSE's are expanded as they apply. */
export function expandInstruction(dispatch: Dispatch): Instruction {
  const { instruction } = dispatch;
  const expand = (word: string): string => expandIn(dispatch, word, false);
  if (instruction.kind === "env" || instruction.kind === "label") {
    const pairs = instruction.pairs.map((pair) => ({ ...pair, key: expand(pair.key), value: expand(pair.value) }));
    return { ...instruction, pairs };
  }
  if (instruction.kind === "add")
    return { ...instruction, ...expandTransfer(instruction, dispatch), checksum: expand(instruction.checksum) };
  if (instruction.kind === "copy") return { ...instruction, ...expandTransfer(instruction, dispatch) };
  if (instruction.kind === "workdir") return { ...instruction, path: expand(instruction.path) };
  if (instruction.kind === "user") return { ...instruction, user: expand(instruction.user) };
  if (instruction.kind === "volume") return { ...instruction, volumes: instruction.volumes.map(expand) };
  if (instruction.kind === "stopsignal") return { ...instruction, signal: expand(instruction.signal) };
  return instruction;
}

/** The mounts of a RUN. */
export function expandMounts(dispatch: Dispatch, mounts: readonly { readonly text: string }[]): RunMount[] {
  return mounts.map(({ text }) => parseMount(text, (word) => expandIn(dispatch, word, false)));
}

type TransferInstruction = Extract<Instruction, { kind: "add" | "copy" }>;

function expandTransfer(
  instruction: TransferInstruction,
  dispatch: Dispatch,
): Pick<TransferInstruction, "chown" | "chmod" | "sources" | "destination" | "inline"> {
  const expand = (word: string): string => expandIn(dispatch, word, false);
  return {
    chown: expand(instruction.chown),
    chmod: expand(instruction.chmod),
    sources: instruction.sources.map(expand),
    destination: expand(instruction.destination),
    inline: instruction.inline.map((file) =>
      file.expand ? { ...file, data: expandIn(dispatch, file.data, true) } : file,
    ),
  };
}

function expandIn(dispatch: Dispatch, word: string, isDocument: boolean): string {
  const { environment } = dispatch.stage;
  const options = isDocument ? { escape: "\\", skipQuotes: true } : { escape: dispatch.context.escape };
  const missing = new Set<string>();
  try {
    return expandWord(word, environment, { ...options, missing }).result;
  } finally {
    reportUndefined(dispatch, missing, environment);
  }
}

/** Warns of variables that nothing sets. */
export function reportUndefined(dispatch: Dispatch, names: ReadonlySet<string>, environment: Environment): void {
  if (names.size === 0) return;
  const { stage, context, instruction } = dispatch;
  const declared = new Set(stage.buildArgs.map(({ key }: ArgDefinition) => key));
  for (const name of names) {
    if (declared.has(name) || hiddenArgs.has(name)) continue;
    const match = suggest(name, environment.keys()) ?? "";
    context.linter.report(undefinedVar, instruction.location, name, match);
  }
}
