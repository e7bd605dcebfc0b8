import { type ExecSecret, type ExecSsh, type MountOptions, mkfile, type State, scratch } from "@buildkit-ts/llb";
import type { ArgDefinition, RunInstruction } from "../instructions/instruction.ts";
import type { RunMount } from "../instructions/run-mount.ts";
import { chompHeredoc, findHeredoc } from "../parser/heredoc.ts";
import type { Environment } from "../shell/environment.ts";
import { invalid } from "../text/located-error.ts";
import type { BuildStage } from "./build-stage.ts";
import { type Dispatch, locationsOf } from "./dispatch-context.ts";
import { expandMounts } from "./expand-instruction.ts";
import { commit } from "./image-draft.ts";
import { proxyFromArgs } from "./proxy-args.ts";
import { convertMounts } from "./run-mounts.ts";
import { nextStepName, shownCommand, summarizeDocument } from "./step-name.ts";
import { joinPath } from "./target-path.ts";

/** What is left of a RUN after its here-documents. */
interface RunCommand {
  readonly args: readonly string[];
  readonly mounts: readonly MountOptions[];
  /** Appended to the step's name. */
  readonly summary: string;
}

/** Converts RUN to an exec op. */
export function dispatchRun(dispatch: Dispatch<RunInstruction>): void {
  const { stage, instruction, context } = dispatch;
  const { settings, world } = context;
  const runMounts = expandMounts(dispatch, instruction.mounts);
  // Anything may be read by the command.
  stage.paths.add("/");
  const command = resolveDocuments(stage, instruction);
  const args = instruction.command.shell ? withShell(stage, command.args) : command.args;
  const { mounts, secrets, ssh } = convertMounts(dispatch, runMounts);
  if (instruction.devices.length > 0 && !world.supports("exec.meta.cdi"))
    throw invalid("RUN --device needs a daemon that can give devices to steps");
  const { environment } = stage;
  const proxy = proxyFromArgs(settings.buildArgs);
  const withShm = world.supports("exec.mount.tmpfs.size") && settings.shmSizeBytes > 0n;
  const limits = world.supports("exec.meta.linux.resources") ? settings.linuxResources : undefined;
  stage.state = stage.state.run({
    args,
    mounts: [
      ...command.mounts,
      ...mounts,
      ...(withShm ? [{ target: "/dev/shm", tmpfs: { sizeBytes: Number(settings.shmSizeBytes) } }] : []),
    ],
    secrets,
    ssh,
    devices: instruction.devices.map(({ name, required }) => ({ name, optional: !required })),
    with: (state) => configure(state, dispatch),
    description: { "com.docker.dockerfile.v1.command": instruction.code },
    customName: runName(dispatch, runMounts, instruction.code + command.summary),
    ...locationsOf(context, instruction.location),
    ...(stage.ignoresCache && { ignoreCache: true }),
    ...(proxy !== undefined && { proxy }),
    ...(limits !== undefined && { linuxResources: limits }),
  });
  const createdBy = `RUN ${historyCommand(args, stage.buildArgs, environment)} # buildkit`;
  commit(stage.image, createdBy, { layer: true, epochSeconds: context.epochSeconds });
}

function configure(state: State, { instruction, context }: Dispatch<RunInstruction>): State {
  const { settings, world } = context;
  let configured = state.security(instruction.security);
  if (instruction.network !== "default") configured = configured.network(instruction.network);
  if (world.supports("exec.meta.ulimit"))
    for (const ulimit of settings.ulimits) configured = configured.addUlimit(ulimit);
  for (const { host, ip } of settings.extraHosts) configured = configured.addExtraHost(host, ip);
  if (settings.cgroupParent !== "" && world.supports("exec.meta.cgroup.parent"))
    configured = configured.cgroupParent(settings.cgroupParent);
  return configured;
}

function resolveDocuments(stage: BuildStage, { command }: RunInstruction): RunCommand {
  const [first] = command.files;
  if (first === undefined) return { args: command.args, mounts: [], summary: "" };
  const [text = ""] = command.args;
  if (command.args.length !== 1 || !command.shell)
    throw invalid(`parsing produced an invalid run command: [${command.args.join(" ")}]`);
  if (findHeredoc(text) === undefined) {
    // More than a document: given back in one piece, for the shell to understand.
    const documents = command.files.map((file) => `\n${file.data}${file.name}`).join("");
    return { args: [text + documents], mounts: [], summary: "" };
  }
  const data = first.chomp ? chompHeredoc(first.data) : first.data;
  const summary = ` (${summarizeDocument(first.data)})`;
  if (stage.image.os === "windows" || !data.startsWith("#!")) return { args: [data], mounts: [], summary };
  // A script with its own interpreter becomes a file.
  const script = scratch().file(mkfile(first.name, data, { mode: 0o755 }), {
    customName: "[internal] preparing inline document",
    ...(stage.platform !== undefined && { platform: stage.platform }),
  });
  const target = "/dev/pipes/";
  return {
    args: [joinPath(target, first.name)],
    mounts: [{ target, source: script, readonly: true, selector: "/" }],
    summary,
  };
}

function runName(dispatch: Dispatch<RunInstruction>, mounts: readonly RunMount[], text: string): string {
  const { stage, context } = dispatch;
  const shown = shownCommand(text, masked(stage.environment, mounts), {
    escape: context.escape,
    rawQuotes: true,
    skipUnset: true,
  });
  return nextStepName(stage, shown, {
    multiPlatform: context.settings.multiPlatform,
    platform: stage.state.settings.platform,
    environment: stage.environment,
    isOnbuild: dispatch.isOnbuild,
  });
}

/** Variables that come from secrets are shown as such. */
function masked(environment: Environment, mounts: readonly RunMount[]): Environment {
  const secret = new Set(mounts.flatMap(({ type, env }) => (type === "secret" && env !== undefined ? [env] : [])));
  if (secret.size === 0) return environment;
  return {
    get: (name) => (secret.has(name) ? "****" : environment.get(name)),
    keys: () => [...environment.keys().filter((name) => !secret.has(name)), ...secret],
  };
}

/** Arguments below the stage's shell. */
export function withShell(stage: BuildStage, args: readonly string[]): string[] {
  const { image } = stage;
  const own = image.config.Shell ?? [];
  const shell = own.length > 0 ? own : image.os === "windows" ? ["cmd", "/S", "/C"] : ["/bin/sh", "-c"];
  return [...shell, args.join(" ")];
}

function historyCommand(
  args: readonly string[],
  buildArgs: readonly ArgDefinition[],
  environment: Environment,
): string {
  const values = new Map<string, string>();
  for (const { key, value } of buildArgs) values.set(key, environment.get(key) ?? value ?? "");
  const prefix = values.size === 0 ? [] : [`|${values.size}`, ...[...values].map(([key, value]) => `${key}=${value}`)];
  return [...prefix, ...args].join(" ");
}

/** The secrets and sockets among mounts. */
export interface ConvertedMounts {
  readonly mounts: readonly MountOptions[];
  readonly secrets: readonly ExecSecret[];
  readonly ssh: readonly ExecSsh[];
}
