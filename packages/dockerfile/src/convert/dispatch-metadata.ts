import { formatDuration, quoteList } from "@buildkit-ts/gotext";
import { looksSecret, mkdir, parseOwner } from "@buildkit-ts/llb";
import type {
  ArgDefinition,
  ArgInstruction,
  CmdInstruction,
  EntrypointInstruction,
  EnvInstruction,
  ExposeInstruction,
  HealthcheckInstruction,
  LabelInstruction,
  StopsignalInstruction,
  VolumeInstruction,
  WorkdirInstruction,
} from "../instructions/instruction.ts";
import * as rules from "../lint/rules.ts";
import { expandWord } from "../shell/shell-words.ts";
import { invalid } from "../text/located-error.ts";
import type { BuildStage } from "./build-stage.ts";
import { type Dispatch, locationsOf, stepNameFor } from "./dispatch-context.ts";
import { withShell } from "./dispatch-run.ts";
import { hiddenArgs, reportUndefined } from "./expand-instruction.ts";
import { parseExposedPorts } from "./exposed-ports.ts";
import { commit, setImageEnv } from "./image-draft.ts";
import { isKnownSignal } from "./signals.ts";
import { isAbsolute, nextWorkdir, toSlash } from "./target-path.ts";

/** Adds a history line for an instruction that changes no file. */
export function commitMetadata({ stage, context }: Dispatch, createdBy: string): void {
  commit(stage.image, createdBy, { epochSeconds: context.epochSeconds });
}

/** ENV. */
export function dispatchEnv(dispatch: Dispatch<EnvInstruction>): void {
  const { stage, instruction, context } = dispatch;
  for (const { key, value, legacy } of instruction.pairs) {
    if (legacy) context.linter.report(rules.legacyKeyValueFormat, instruction.location, instruction.name);
    reportSecret(dispatch, "ENV", key);
    stage.state = stage.state.addEnv(key, value);
    setImageEnv(stage.image, key, value);
  }
  commitMetadata(dispatch, ["ENV", ...instruction.pairs.map(({ key, value }) => `${key}=${value}`)].join(" "));
}

function reportSecret({ context, instruction }: Dispatch, keyword: string, key: string): void {
  if (looksSecret(key)) context.linter.report(rules.secretsUsedInArgOrEnv, instruction.location, keyword, key);
}

/** LABEL. */
export function dispatchLabel(dispatch: Dispatch<LabelInstruction>): void {
  const { stage, instruction, context } = dispatch;
  const labels = { ...stage.image.config.Labels };
  for (const { key, value, legacy } of instruction.pairs) {
    if (legacy) context.linter.report(rules.legacyKeyValueFormat, instruction.location, instruction.name);
    labels[key] = value;
  }
  stage.image.config.Labels = labels;
  commitMetadata(dispatch, ["LABEL", ...instruction.pairs.map(({ key, value }) => `${key}=${value}`)].join(" "));
}

/** WORKDIR: makes the directory, as the user of the image. */
export function dispatchWorkdir(dispatch: Dispatch<WorkdirInstruction>): void {
  const { stage, instruction, context } = dispatch;
  const os = stage.platform?.os ?? "";
  if (!stage.workdirSet && !isAbsolute(instruction.path, os))
    context.linter.report(rules.workdirRelativePath, instruction.location, instruction.path);
  stage.workdirSet = true;
  const path = setWorkdir(stage, instruction.path);
  if (path !== "/") {
    const user = stage.image.config.User ?? "";
    const epoch = context.epochSeconds;
    const action = mkdir(path, 0o755, {
      makeParents: true,
      ...(user !== "" && { owner: parseOwner(user) }),
      ...(epoch !== undefined && { createdAtNs: epoch * 1_000_000_000n }),
    });
    stage.state = stage.state.file(action, {
      customName: stepNameFor(dispatch, instruction.code),
      ...locationsOf(context, instruction.location),
      ...(stage.platform !== undefined && { platform: stage.platform }),
    });
  }
  commit(stage.image, `WORKDIR ${path}`, { layer: path !== "/", epochSeconds: context.epochSeconds });
}

const maxPathLength = 4096;

/** Sets the working directory of the stage and its image; the path with slashes. */
export function setWorkdir(stage: BuildStage, path: string): string {
  const os = stage.platform?.os ?? "";
  const next = nextWorkdir(stage.image.config.WorkingDir ?? "", path, os);
  // No system has longer ones; unchecked, relative ones that follow each other would grow without end.
  if (next.length > maxPathLength) throw invalid(`the working directory is longer than ${maxPathLength} characters`);
  stage.image.config.WorkingDir = next;
  const slashed = toSlash(next, os);
  stage.state = stage.state.dir(slashed);
  return slashed;
}

/** CMD. */
export function dispatchCmd(dispatch: Dispatch<CmdInstruction>): void {
  const { stage } = dispatch;
  onlyOnce(dispatch, "cmd");
  const args = commandOf(dispatch);
  stage.image.config.Cmd = args;
  stage.image.config.ArgsEscaped = true;
  commitMetadata(dispatch, `CMD ${quoteList(args)}`);
}

/** ENTRYPOINT: a command that the base set is no argument of it. */
export function dispatchEntrypoint(dispatch: Dispatch<EntrypointInstruction>): void {
  const { stage } = dispatch;
  onlyOnce(dispatch, "entrypoint");
  const args = commandOf(dispatch);
  stage.image.config.Entrypoint = args;
  if (!stage.seenOnce.has("cmd")) delete stage.image.config.Cmd;
  commitMetadata(dispatch, `ENTRYPOINT ${quoteList(args)}`);
}

function commandOf(dispatch: Dispatch<CmdInstruction | EntrypointInstruction>): string[] {
  const { stage, instruction, context } = dispatch;
  const { args, shell } = instruction.command;
  if (!shell) return [...args];
  if ((stage.image.config.Shell ?? []).length === 0)
    context.linter.report(rules.jsonArgsRecommended, instruction.location, instruction.name);
  return withShell(stage, args);
}

function onlyOnce({ stage, instruction, context }: Dispatch, kind: "cmd" | "entrypoint" | "healthcheck"): void {
  const previous = stage.seenOnce.get(kind);
  // The previous one is what has no effect.
  if (previous !== undefined) context.linter.report(rules.multipleInstructionsDisallowed, previous, instruction.name);
  stage.seenOnce.set(kind, instruction.location);
}

/** HEALTHCHECK. */
export function dispatchHealthcheck(dispatch: Dispatch<HealthcheckInstruction>): void {
  const { stage, instruction } = dispatch;
  onlyOnce(dispatch, "healthcheck");
  const { health } = instruction;
  stage.image.config.Healthcheck = health;
  const duration = (value: number | undefined): string => formatDuration(value ?? 0);
  commitMetadata(
    dispatch,
    `HEALTHCHECK {Test:[${(health.Test ?? []).join(" ")}] Interval:${duration(health.Interval)} Timeout:${duration(health.Timeout)} StartPeriod:${duration(health.StartPeriod)} StartInterval:${duration(health.StartInterval)} Retries:${health.Retries ?? 0}}`,
  );
}

/** EXPOSE. */
export function dispatchExpose(dispatch: Dispatch<ExposeInstruction>): void {
  const { stage, instruction, context } = dispatch;
  const { environment } = stage;
  const words = instruction.ports.flatMap((port) => expandWord(port, environment, { escape: context.escape }).words);
  const all: string[] = [];
  for (const word of words) {
    const { ports, protocol, hasMapping } = parseExposedPorts(word);
    if (protocol !== protocol.toLowerCase()) context.linter.report(rules.exposeProtoCasing, instruction.location, word);
    if (hasMapping) context.linter.report(rules.exposeInvalidFormat, instruction.location, word);
    for (const exposedPort of ports) all.push(exposedPort);
  }
  stage.exposedPorts += all.length;
  if (stage.exposedPorts > maxExposedPorts) throw invalid(`more than ${maxExposedPorts} ports are exposed`);
  const exposed = { ...stage.image.config.ExposedPorts };
  for (const port of all) exposed[port] = {};
  stage.image.config.ExposedPorts = exposed;
  commitMetadata(dispatch, `EXPOSE [${all.join(" ")}]`);
}

/** All there are, for three protocols. */
const maxExposedPorts = 3 * 65_536;

/** VOLUME. */
export function dispatchVolume(dispatch: Dispatch<VolumeInstruction>): void {
  const { stage, instruction } = dispatch;
  if (instruction.volumes.includes("")) throw invalid("VOLUME specified can not be an empty string");
  const volumes = { ...stage.image.config.Volumes };
  for (const volume of instruction.volumes) volumes[volume] = {};
  stage.image.config.Volumes = volumes;
  commitMetadata(dispatch, `VOLUME [${instruction.volumes.join(" ")}]`);
}

/** STOPSIGNAL. */
export function dispatchStopsignal(dispatch: Dispatch<StopsignalInstruction>): void {
  const { signal } = dispatch.instruction;
  if (!isKnownSignal(signal)) throw invalid(`invalid signal: ${signal}`);
  dispatch.stage.image.config.StopSignal = signal;
  commitMetadata(dispatch, `STOPSIGNAL ${signal}`);
}

/** ARG: declared in the stage, and set as a variable if it has a value. */
export function dispatchArg(dispatch: Dispatch<ArgInstruction>): void {
  const texts = dispatch.instruction.args.map((arg) => declareArg(dispatch, arg));
  commitMetadata(dispatch, `ARG ${texts.join(" ")}`);
}

function declareArg(dispatch: Dispatch<ArgInstruction>, arg: ArgDefinition): string {
  const { stage, instruction } = dispatch;
  reportSecret(dispatch, "ARG", arg.key);
  const { value, isInherited } = argValue(dispatch, arg);
  if (value !== undefined && !hiddenArgs.has(arg.key)) stage.state = stage.state.addEnv(arg.key, value);
  if (!isInherited)
    stage.outline.args.set(arg.key, {
      key: arg.key,
      value: value ?? "",
      description: arg.description,
      location: instruction.location,
      dependencies: new Set(),
    });
  stage.outline.usedArgs.add(arg.key);
  stage.buildArgs.push({ ...arg, value });
  return value === undefined ? arg.key : `${arg.key}=${value}`;
}

function argValue(
  dispatch: Dispatch<ArgInstruction>,
  arg: ArgDefinition,
): { value: string | undefined; isInherited: boolean } {
  const { stage, context } = dispatch;
  const { buildArgs } = context.settings;
  if (Object.hasOwn(buildArgs, arg.key)) return { value: buildArgs[arg.key], isInherited: false };
  if (arg.value === undefined) {
    const value = context.globalArgs.get(arg.key);
    return { value, isInherited: value !== undefined };
  }
  const { environment } = stage;
  // An overridden default is never looked at, so only here may it fail.
  const { result, unmatched } = expandWord(arg.value, environment, { escape: context.escape });
  reportUndefined(dispatch, unmatched, environment);
  return { value: result, isInherited: false };
}
