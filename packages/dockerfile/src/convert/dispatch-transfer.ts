import { randomBytes } from "node:crypto";
import { quote } from "@buildkit-ts/gotext";
import {
  type Constraints,
  type CopyOptions,
  FileAction,
  git,
  http,
  merge,
  mkfile,
  parseOwner,
  type State,
  scratch,
} from "@buildkit-ts/llb";
import { type Digest, isDigest } from "@buildkit-ts/oci";
import type { AddInstruction, CopyInstruction, InlineSource } from "../instructions/instruction.ts";
import { copyIgnoredFile } from "../lint/rules.ts";
import { invalid } from "../text/located-error.ts";
import { type Dispatch, locationsOf, nameOptions } from "./dispatch-context.ts";
import { type GitRef, parseGitRef } from "./git-ref.ts";
import { commit } from "./image-draft.ts";
import { nextStepName, shownCommand, stepName } from "./step-name.ts";
import { absolutePath, baseName, cleanPath, isAbsolute, joinPath, toSlash, withoutDrive } from "./target-path.ts";

type TransferDispatch = Dispatch<AddInstruction | CopyInstruction>;

interface Transfer {
  readonly dispatch: TransferDispatch;
  readonly source: State;
  readonly destination: string;
  /** The step's name. */
  readonly name: string;
  /** The step's name without its prefix. */
  readonly shown: string;
  readonly common: CopyOptions;
}

/** Converts ADD and COPY to a file op; with `--link` to one on scratch that is merged in. */
export function dispatchTransfer(dispatch: TransferDispatch): void {
  const { stage, instruction, context } = dispatch;
  const source = sourceOf(dispatch);
  const destination = destinationPath(dispatch);
  const common = commonOptions(instruction);
  checkChecksum(instruction);
  const shown = shownCommand(instruction.code, stage.environment, { escape: context.escape });
  const name = nextStepName(stage, shown, nameOptions(dispatch));
  const transfer: Transfer = { dispatch, source, destination, name, shown, common };
  let action = new FileAction();
  for (const path of instruction.sources) action = addSource(action, transfer, path);
  for (const file of instruction.inline) action = addInline(action, transfer, file);
  stage.state = isLinked(dispatch) ? link(transfer, action) : stage.state.file(action, constraintsOf(transfer));
  commit(stage.image, `${historyText(instruction)} # buildkit`, {
    layer: true,
    epochSeconds: context.epochSeconds,
  });
  recordPaths(dispatch);
}

function sourceOf({ stage, instruction, sources, context }: TransferDispatch): State {
  const [from] = sources;
  if (from === undefined) return context.buildContext;
  if (!from.isDispatched)
    throw invalid(
      `cannot copy from stage ${quote(instruction.kind === "copy" ? instruction.from : "")}, it needs to be defined before current stage ${quote(stage.displayName)}`,
    );
  return from.state;
}

function recordPaths({ stage, instruction, sources }: TransferDispatch): void {
  const paths = sources[0]?.paths ?? stage.contextPaths;
  for (const source of instruction.sources)
    if (instruction.kind === "copy" || !/^https?:\/\//.test(source)) paths.add(joinPath("/", source));
}

function destinationPath({ stage, instruction }: TransferDispatch): string {
  const os = stage.platform?.os ?? "";
  const path = withoutDrive(instruction.destination, os, true);
  if (isAbsolute(path, os)) return absolutePath(path, { parent: "/", os, keepSlash: true });
  const relative = path === "." || path === "" ? "./" : path;
  return absolutePath(relative, { parent: stage.state.cwd, os, keepSlash: true });
}

function commonOptions({ chown, exclude, chmod }: AddInstruction | CopyInstruction): CopyOptions {
  return {
    createDestPath: true,
    ...(chown !== "" && { owner: parseOwner(chown) }),
    ...(exclude.length > 0 && { excludePatterns: exclude }),
    ...(chmod !== "" && { mode: readMode(chmod) }),
  };
}

function readMode(text: string): number | string {
  if (/^[0-7]+$/.test(text) && Number.parseInt(text, 8) <= 0o7777) return Number.parseInt(text, 8);
  if (/^\d/.test(text))
    throw invalid(`invalid chmod parameter: '${text}'. it should be octal string and between 0 and 07777`);
  const clause = "[augo]*(?:[-+=][rstwXxugo]*)+";
  if (!new RegExp(`^${clause}(?:,${clause})*$`).test(text)) throw invalid("invalid syntax");
  return text;
}

/** @throws {BuildError} `invalid_argument`, with the texts of Go's digest library. */
function readChecksum(text: string): Digest {
  const [, algorithm = ""] = /^([a-z0-9]+(?:[.+_-][a-z0-9]+)*):[\w=-]+$/.exec(text) ?? [];
  if (algorithm === "") throw invalid("invalid checksum digest format");
  const digits = { sha256: 64, sha384: 96, sha512: 128 }[algorithm];
  if (digits === undefined) throw invalid("unsupported digest algorithm");
  if (text.length !== algorithm.length + 1 + digits) throw invalid("invalid checksum digest length");
  if (!isDigest(text)) throw invalid("invalid checksum digest format");
  return text;
}

function checkChecksum(instruction: AddInstruction | CopyInstruction): void {
  if (instruction.kind !== "add" || instruction.checksum === "") return;
  const [source = ""] = instruction.sources;
  if (instruction.sources.length !== 1) throw invalid("checksum can't be specified for multiple sources");
  if (!/^https?:\/\//.test(source) && parseGitRef(source) === undefined)
    throw invalid("checksum requires HTTP(S) or Git sources");
}

function addSource(action: FileAction, transfer: Transfer, source: string): FileAction {
  const { instruction } = transfer.dispatch;
  const repository = parseGitRef(source);
  if (repository !== undefined && !repository.looksLocal) {
    if (instruction.kind !== "add") throw invalid("source can't be a git ref for COPY");
    return addRepository(action, transfer, { ...gitFlags(instruction, repository), repository });
  }
  if (!/^https?:\/\//.test(source)) return addLocal(action, transfer, source);
  if (instruction.kind !== "add") throw invalid("source can't be a URL for COPY");
  return addUrl(action, transfer, source);
}

function gitFlags(add: AddInstruction, repository: GitRef): { keepGitDir: boolean; checksum: string } {
  const { keepGitDir, checksum } = repository;
  if (add.keepGitDir !== undefined && keepGitDir !== undefined && add.keepGitDir !== keepGitDir)
    throw invalid("inconsistent keep-git-dir configuration");
  if (add.checksum !== "" && checksum !== "" && add.checksum !== checksum)
    throw invalid(`checksum mismatch ${quote(add.checksum)} != ${quote(checksum)}`);
  return { keepGitDir: keepGitDir ?? add.keepGitDir ?? false, checksum: checksum || add.checksum };
}

function addRepository(
  action: FileAction,
  transfer: Transfer,
  what: { readonly keepGitDir: boolean; readonly checksum: string; readonly repository: GitRef },
): FileAction {
  const { repository, checksum } = what;
  const state = git(repository.remote, {
    customName: transfer.name,
    ref: repository.ref,
    subdir: repository.subdir,
    keepGitDir: what.keepGitDir,
    ...(checksum !== "" && { checksum }),
    ...(repository.submodules === false && { skipSubmodules: true }),
    ...(repository.fetchByCommit && { fetchByCommit: true }),
  });
  return action.copy(state, { src: "/", dest: transfer.destination }, transfer.common);
}

function addUrl(action: FileAction, transfer: Transfer, source: string): FileAction {
  const { instruction } = transfer.dispatch;
  const add = instruction.kind === "add" ? instruction : undefined;
  const filename = fileNameOf(source);
  const checksum = add?.checksum ?? "";
  const state = http(source, {
    filename,
    customName: transfer.name,
    ...(checksum !== "" && { checksum: readChecksum(checksum) }),
    description: { "com.docker.dockerfile.v1.command": "" },
  });
  const paths = { src: filename, dest: transfer.destination };
  return action.copy(state, paths, { ...transfer.common, attemptUnpack: add?.unpack ?? false });
}

/** The name that a downloaded file gets. */
export function fileNameOf(source: string): string {
  const path = /^https?:\/\/[^/?#]*([^?#]*)/.exec(source)?.[1] ?? "";
  let decoded: string;
  try {
    decoded = decodeURIComponent(path);
  } catch {
    return "__unnamed__";
  }
  const base = baseName(decoded);
  return base === "." || base === "/" ? "__unnamed__" : base;
}

function addLocal(action: FileAction, transfer: Transfer, source: string): FileAction {
  const { dispatch } = transfer;
  const { stage, instruction } = dispatch;
  warnIfIgnored(dispatch, source);
  const os = stage.platform?.os ?? "";
  const inRoot = (path: string): string => absolutePath(path, { parent: "/", os, keepSlash: false });
  const isAdd = instruction.kind === "add";
  const parents = !isAdd && instruction.parents ? splitPivot(source, inRoot) : undefined;
  return action.copy(
    transfer.source,
    { src: inRoot(parents?.root ?? source), dest: transfer.destination },
    {
      ...transfer.common,
      followSymlinks: true,
      copyDirContentsOnly: true,
      ...(parents !== undefined && { includePatterns: [parents.pattern] }),
      ...(parents?.required !== undefined && { requiredPaths: [inRoot(parents.required)] }),
      attemptUnpack: isAdd ? (instruction.unpack ?? true) : false,
      allowWildcard: true,
      allowEmptyWildcard: true,
    },
  );
}

/** With `--parents`, what is before `/./` is left out of the destination; without wildcards the rest must exist. */
function splitPivot(
  source: string,
  inRoot: (path: string) => string,
): { root: string; pattern: string; required: string | undefined } {
  const at = source.indexOf("/./");
  const root = at < 0 ? "/" : source.slice(0, at);
  const pattern = inRoot(at < 0 ? source : source.slice(at + 3));
  const required = hasWildcards(root) || hasWildcards(pattern) ? undefined : joinPath(root, pattern);
  return { root, pattern: pattern.replace(/^\//, ""), required };
}

function hasWildcards(path: string): boolean {
  return /[*?[]/.test(path.replace(/\\[^]/g, ""));
}

function warnIfIgnored({ instruction, sources, context }: TransferDispatch, source: string): void {
  const { ignored, linter } = context;
  // An exception may be about a file inside what a pattern excludes, which cannot be told from here.
  if (ignored === undefined || ignored.hasExceptions || sources.length > 0) return;
  const path = cleanPath(source);
  if ((path === "." || path === "/") && !ignored.excludesRoot) return;
  if (!ignored.excludes(path)) return;
  linter.report(copyIgnoredFile, instruction.location, instruction.kind === "add" ? "Add" : "Copy", path);
}

function addInline(action: FileAction, transfer: Transfer, file: InlineSource): FileAction {
  const { platform } = transfer.dispatch.stage;
  const os = platform?.os ?? "";
  const name = withoutDrive(file.path, os, false);
  const state = scratch().file(mkfile(name, file.data, { mode: 0o644 }), {
    customName: "[internal] preparing inline document",
    ...(platform !== undefined && { platform }),
  });
  return action.copy(state, { src: toSlash(name, os), dest: transfer.destination }, transfer.common);
}

function historyText(instruction: AddInstruction | CopyInstruction): string {
  const { chown, chmod } = instruction;
  return [
    instruction.kind === "add" ? "ADD" : "COPY",
    ...(instruction.kind === "copy" && instruction.parents ? ["--parents"] : []),
    ...(chown === "" ? [] : [`--chown=${chown}`]),
    ...(chmod === "" ? [] : [`--chmod=${chmod}`]),
    ...instruction.sources,
    ...instruction.inline.map(({ path }) => `<<${path}`),
    instruction.destination,
  ].join(" ");
}

function constraintsOf({ dispatch, name }: Transfer): Constraints {
  const { stage, instruction, context } = dispatch;
  return {
    customName: name,
    ...locationsOf(context, instruction.location),
    ...(stage.ignoresCache && { ignoreCache: true }),
  };
}

/** A changed mode needs what is below, so `--chmod` cannot be linked. */
function isLinked({ instruction, context }: TransferDispatch): boolean {
  return instruction.link && instruction.chmod === "" && context.world.supports("mergeop");
}

function link(transfer: Transfer, action: FileAction): State {
  const { stage } = transfer.dispatch;
  const constraints = constraintsOf(transfer);
  const id = randomBytes(16).toString("hex");
  const group = { id, name: transfer.name };
  const layer = scratch().file(action, {
    ...constraints,
    ...(stage.platform !== undefined && { platform: stage.platform }),
    progressGroup: { ...group, weak: true },
  });
  const merged = merge([stage.state, layer], {
    ...constraints,
    progressGroup: { ...group, weak: false },
    customName: stepName(stage, `LINK ${transfer.shown}`, nameOptions(transfer.dispatch)),
  });
  return stage.state.withOutput(merged.output);
}
