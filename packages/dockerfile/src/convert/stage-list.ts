import type { Instruction } from "../instructions/instruction.ts";
import { emptyEnvironment } from "../shell/environment.ts";
import { expandWord } from "../shell/shell-words.ts";
import { invalid, locate } from "../text/located-error.ts";
import { type BuildStage, implicitStage, type StageCommand } from "./build-stage.ts";
import { StageOutline } from "./stage-outline.ts";

/** All stages of a conversion, by position and by name. */
export class StageList {
  readonly all: BuildStage[] = [];
  readonly #byName = new Map<string, BuildStage>();

  add(stage: BuildStage): void {
    this.all.push(stage);
    const base = this.#byName.get(stage.baseName);
    if (base !== undefined) {
      stage.base = base;
      stage.outline = new StageOutline(base.outline);
    }
    if (stage.stage.stageName !== "") this.#byName.set(stage.stage.stageName.toLowerCase(), stage);
  }

  find(name: string): BuildStage | undefined {
    return this.#byName.get(name.toLowerCase());
  }

  at(index: number): BuildStage {
    const stage = index < 0 ? undefined : this.all[index];
    if (stage === undefined) throw invalid(`invalid stage index ${index}`);
    return stage;
  }

  names(): string[] {
    return this.all.map((stage) => stage.displayName).filter((name) => name !== "");
  }

  /** Finds the stages that an instruction takes files from; unknown names are images. */
  link(instruction: Instruction, options: { readonly escape: string; readonly isOnbuild: boolean }): StageCommand {
    return { instruction, sources: this.#sourcesOf(instruction, options.escape), isOnbuild: options.isOnbuild };
  }

  #sourcesOf(instruction: Instruction, escape: string): BuildStage[] {
    if (instruction.kind === "run")
      return instruction.mounts.map(({ from }) => {
        const name = from === "" ? "scratch" : from;
        return this.find(name) ?? implicitStage(name, []);
      });
    if (instruction.kind !== "copy" || instruction.from === "") return [];
    const { from, location } = instruction;
    try {
      return [this.#copiedFrom(from, { escape, location })];
    } catch (error) {
      throw locate(error, location);
    }
  }

  #copiedFrom(from: string, at: { readonly escape: string; readonly location: Instruction["location"] }): BuildStage {
    if (expandWord(from, emptyEnvironment, { escape: at.escape }).result !== from)
      throw invalid(
        "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround",
      );
    if (/^[-+]?\d+$/.test(from)) return this.at(Number(from));
    return this.find(from) ?? implicitStage(from, at.location);
  }

  /** Makes a stage wait for what its command needs. */
  connect(stage: BuildStage, command: StageCommand): void {
    for (const source of command.sources) {
      stage.dependencies.set(source, command.instruction);
      if (source.isImplicit && !this.all.includes(source)) this.add(source);
    }
  }

  /** @throws {LocatedError} `invalid_argument` if stages need each other in a circle. */
  rejectCycles(): void {
    const done = new Set<BuildStage>();
    for (const root of this.all) {
      const cycle = findCycle(root, done);
      if (cycle === undefined) continue;
      let error: unknown = invalid(`circular dependency detected on stage: ${root.displayName}`);
      for (const instruction of cycle) error = locate(error, instruction.location);
      throw error;
    }
  }
}

function findCycle(root: BuildStage, done: Set<BuildStage>): Instruction[] | undefined {
  if (done.has(root)) return undefined;
  const open = new Set([root]);
  const path: Instruction[] = [];
  // With a stack of its own: chains of stages may be deeper than the call stack.
  const stack = [{ stage: root, rest: root.dependencies.entries() }];
  done.add(root);
  for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
    const next = top.rest.next();
    if (next.done === true) {
      open.delete(top.stage);
      stack.pop();
      path.pop();
      continue;
    }
    const [stage, instruction] = next.value;
    if (open.has(stage)) return [...path, instruction];
    if (done.has(stage)) continue;
    done.add(stage);
    open.add(stage);
    path.push(instruction);
    stack.push({ stage, rest: stage.dependencies.entries() });
  }
  return undefined;
}
