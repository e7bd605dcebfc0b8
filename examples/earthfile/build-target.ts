import { BuildError } from "@buildkit-ts/errdefs";
import type { BuildFile } from "@buildkit-ts/frontend";
import { copy, image, type State, scratch } from "@buildkit-ts/llb";
import type { Platform, RunConfig } from "@buildkit-ts/oci";
import type { Command, Earthfile } from "./parse-earthfile.ts";

/** What a target has made: files, how to run them, and what other targets can take from it. */
export interface TargetResult {
  readonly state: State;
  readonly config: RunConfig;
  /** By the name that it was saved under. */
  readonly artifacts: ReadonlyMap<string, { readonly from: State; readonly path: string }>;
}

/** What building takes from outside of the file. */
export interface TargetWorld {
  readonly file: BuildFile;
  readonly platform: Platform;
  readonly context: State;
  readonly buildArgs: (name: string) => string | undefined;
  readonly resolve: (reference: string) => Promise<{ readonly ref: string; readonly config: RunConfig }>;
}

/** Builds targets of one file, each once however many others refer to it. */
export class TargetBuilder {
  readonly #earthfile: Earthfile;
  readonly #world: TargetWorld;
  readonly #results = new Map<string, Promise<TargetResult>>();

  constructor(earthfile: Earthfile, world: TargetWorld) {
    this.#earthfile = earthfile;
    this.#world = world;
  }

  /** `path` is how it was come to: a target that needs itself is an error, not a wait without end. */
  async build(name: string, path: readonly string[], place: { readonly first: number }): Promise<TargetResult> {
    const { file } = this.#world;
    const target = this.#earthfile.targets.get(name);
    if (target === undefined && name !== "base") {
      const known = [...this.#earthfile.targets.keys()].map((known) => `+${known}`).join(", ");
      throw file.error(`There is no target +${name}, only: ${known}`, place);
    }
    if (path.includes(name)) throw file.error(`Targets need each other: +${[...path, name].join(" → +")}`, place);
    let result = this.#results.get(name);
    if (result === undefined) {
      result = this.#run([...this.#earthfile.base, ...(target?.commands ?? [])], [...path, name]);
      this.#results.set(name, result);
    }
    return await result;
  }

  async #run(commands: readonly Command[], path: readonly string[]): Promise<TargetResult> {
    let result: TargetResult = { state: scratch(), config: {}, artifacts: new Map() };
    for (const command of commands) result = await this.#step(result, command, path);
    return result;
  }

  async #step(result: TargetResult, command: Command, path: readonly string[]): Promise<TargetResult> {
    const { state, config, artifacts } = result;
    const { text, words } = command;
    const [first = "", second = ""] = words.map((word) => expand(word, state));
    switch (command.name) {
      case "FROM":
        return await this.#from(first, command, path);
      case "WORKDIR":
        return { ...result, state: state.dir(first), config: { ...config, WorkingDir: state.dir(first).cwd } };
      case "ENV":
      case "ARG":
        return this.#variable(result, command);
      case "COPY":
        return { ...result, state: await this.#copy(state, command, path) };
      case "RUN":
        return { ...result, state: state.run(text, this.#constraints(command, path)) };
      case "SAVE": {
        if (first === "IMAGE") return result;
        const artifact = { from: state, path: second };
        return { ...result, artifacts: new Map([...artifacts, [second.split("/").at(-1) ?? second, artifact]]) };
      }
      case "ENTRYPOINT":
        // The base image's arguments were meant for its own program.
        return { ...result, config: { ...config, Entrypoint: this.#list(command), Cmd: null } };
      case "CMD":
        return { ...result, config: { ...config, Cmd: this.#list(command) } };
    }
  }

  async #from(reference: string, command: Command, path: readonly string[]): Promise<TargetResult> {
    if (reference.startsWith("+")) {
      const { state, config } = await this.build(reference.slice(1), path, command);
      return { state, config, artifacts: new Map() };
    }
    const { ref, config } = await this.#world.resolve(reference);
    const base = image(ref, { platform: this.#world.platform, ...this.#constraints(command, path) });
    const env = (config.Env ?? []).map((entry) => entry.split("=", 2) as [string, string]);
    const state = env.reduce((below, [name, value]) => below.addEnv(name, value), base);
    return { state: state.dir(config.WorkingDir || "/"), config, artifacts: new Map() };
  }

  #variable(result: TargetResult, { name, text }: Command): TargetResult {
    const [, key = text, value = ""] = /^(\w+)\s*=?\s*(.*)$/.exec(text) ?? [];
    const given = name === "ARG" ? this.#world.buildArgs(key) : undefined;
    const plain = given ?? expand(value.replace(/^"(.*)"$/, "$1"), result.state);
    const state = result.state.addEnv(key, plain);
    if (name === "ARG") return { ...result, state };
    return { ...result, state, config: { ...result.config, Env: [...(result.config.Env ?? []), `${key}=${plain}`] } };
  }

  async #copy(state: State, command: Command, path: readonly string[]): Promise<State> {
    const dest = expand(command.words.at(-1) ?? "", state);
    let below = state;
    for (const source of command.words.slice(0, -1)) {
      const options = { createDestPath: true, allowWildcard: true, copyDirContentsOnly: true };
      const [, target, name = ""] = /^\+([\w-]+)\/(.+)$/.exec(source) ?? [];
      const constraints = this.#constraints(command, path);
      if (target === undefined) {
        const action = copy(this.#world.context, { src: source, dest }, options);
        below = below.file(action, constraints);
        continue;
      }
      const artifact = (await this.build(target, path, command)).artifacts.get(name);
      if (artifact === undefined) throw this.#world.file.error(`+${target} saves no artifact "${name}"`, command);
      below = below.file(copy(artifact.from, { src: artifact.path, dest }, options), constraints);
    }
    return below;
  }

  #constraints(command: Command, path: readonly string[]): object {
    const customName = `[+${path.at(-1)}] ${command.name} ${command.text}`;
    return { customName, locations: [this.#world.file.location(command.first, command.last)] };
  }

  #list(command: Command): string[] {
    if (!command.text.startsWith("[")) return ["/bin/sh", "-c", command.text];
    try {
      return (JSON.parse(command.text) as unknown[]).map(String);
    } catch (error) {
      throw this.#world.file.error(`${command.name} has a malformed list: ${BuildError.from(error).message}`, command);
    }
  }
}

/** `$name` and `${name}`, of what ENV and ARG have set. */
function expand(text: string, state: State): string {
  return text.replaceAll(/\$(?:(\w+)|\{(\w+)\})/g, (_all, bare?: string, braced?: string) => {
    return state.env.get(bare ?? braced ?? "") ?? "";
  });
}
