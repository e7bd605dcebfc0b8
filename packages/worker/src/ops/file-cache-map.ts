import { opspb } from "@buildkit-ts/api";
import { formatGoJson } from "@buildkit-ts/gotext";
import { digestOf } from "@buildkit-ts/oci";
import type { CacheMap, CacheMapDependency } from "@buildkit-ts/solver";
import { type ContentCache, type ContentSelector, compareText, dedupePaths, unlazy } from "../content-selector.ts";
import { invalid } from "../definition/validate-op.ts";
import { goJson, goObject } from "../go-json.ts";
import { SelectedContent } from "../selected-content.ts";
import { describeFile } from "./describe-file.ts";

/**
 * What a file op is known by: its actions, each with its inputs. A copy's source is known by the content of what it
 * selects, unless the same input is also written to.
 */
export function fileCacheMap(
  op: opspb.FileOp,
  options: { readonly inputs: number; readonly cache: ContentCache },
): CacheMap {
  const selection = new InputSelection(options.inputs);
  const actions = op.actions.map((action) => actionJson(action, selection));
  const indexes = op.actions.map(({ input, secondaryInput, output }) => [input, secondaryInput, output].map(Number));
  const text = goObject([
    ["Type", formatGoJson("buildkit.file.v0")],
    ["Actions", `[${actions.map((json) => (json === undefined ? "null" : formatGoJson(base64(json)))).join(",")}]`],
    ["indexes", isDefaultIndexes(indexes) ? undefined : JSON.stringify(indexes)],
  ]);
  return {
    digest: digestOf(text),
    deps: selection.dependencies(options.cache),
    describe: () => describeFile(op),
  };
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

function actionJson(
  { action, input, secondaryInput }: opspb.FileAction,
  selection: InputSelection,
): string | undefined {
  if (action.case === undefined) return undefined;
  selection.markWritten(input);
  switch (action.case) {
    case "mkdir":
      selection.addOwner(action.value.owner);
      return goJson(opspb.FileActionMkDirSchema, action.value);
    case "mkfile":
      selection.addOwner(action.value.owner);
      return goJson(opspb.FileActionMkFileSchema, action.value);
    case "symlink":
      // BuildKit leaves out the owner's files here, and keys have to be equal.
      return goJson(opspb.FileActionSymlinkSchema, action.value);
    case "rm":
      return goJson(opspb.FileActionRmSchema, action.value);
    case "copy": {
      selection.addOwner(action.value.owner);
      const { value } = action;
      const fromInput = selection.addCopy(secondaryInput, value);
      return goJson(opspb.FileActionCopySchema, fromInput ? { ...value, src: baseName(value.src) } : value);
    }
  }
}

/** Go's `path.Base`. */
function baseName(path: string): string {
  if (path === "") return ".";
  return path.replace(/\/+$/, "").split("/").at(-1) || "/";
}

/** What the actions read of each input, and which they write to. */
class InputSelection {
  readonly #inputs: number;
  readonly #selectors = new Map<number, ContentSelector[]>();
  readonly #written = new Set<number>();

  constructor(inputs: number) {
    this.#inputs = inputs;
  }

  markWritten(input: bigint): void {
    this.#written.add(Number(input));
  }

  addOwner(owner: opspb.ChownOpt | undefined): void {
    // An index below 0 ends the reading of this owner, as in BuildKit; executing it is an error.
    for (const [who, path] of [
      [owner?.user, "/etc/passwd"],
      [owner?.group, "/etc/group"],
    ] as const) {
      if (who?.user.case !== "byName") continue;
      if (who.user.value.input < 0n) return;
      this.#add(Number(who.user.value.input), { path, followLinks: true });
    }
  }

  /** False where the source is no input but an earlier action's output, or scratch. */
  addCopy(secondaryInput: bigint, copy: opspb.FileActionCopy): boolean {
    if (secondaryInput === -1n || secondaryInput >= BigInt(this.#inputs)) return false;
    this.#add(Number(secondaryInput), {
      path: copy.src,
      followLinks: copy.followSymlink,
      wildcard: copy.allowWildcard && hasWildcard(copy.src),
      includePatterns: copy.includePatterns,
      excludePatterns: copy.excludePatterns,
      requiredPaths: copy.requiredPaths,
    });
    return true;
  }

  #add(input: number, selector: ContentSelector): void {
    const list = this.#selectors.get(input);
    if (list === undefined) this.#selectors.set(input, [selector]);
    else list.push(selector);
  }

  dependencies(cache: ContentCache): CacheMapDependency[] {
    for (const input of this.#selectors.keys()) {
      if (!this.#written.has(input) && (input < 0 || input >= this.#inputs)) {
        throw invalid(`invalid input index ${input} in file op with ${this.#inputs} inputs`);
      }
    }
    return Array.from({ length: this.#inputs }, (_, input): CacheMapDependency => {
      const selectors = this.#selectors.get(input);
      if (selectors === undefined || this.#written.has(input)) return { prepare: unlazy };
      // Descending, "for historical reasons": the first version of these keys had it so.
      const paths = selectors.map(({ path }) => path).toSorted((a, b) => compareText(b, a));
      return new SelectedContent(digestOf(paths.join("\0")), cache, () => dedupeSelectors(selectors));
    });
  }
}

/** Whether a path has a pattern's characters that are not escaped. */
function hasWildcard(path: string): boolean {
  return /[*?[]/.test(path.replace(/\\./gs, ""));
}

/** Plain paths below others are dropped; those with patterns are all kept. */
function dedupeSelectors(selectors: readonly ContentSelector[]): ContentSelector[] {
  const isFiltered = (s: ContentSelector): boolean =>
    s.wildcard === true || (s.includePatterns?.length ?? 0) > 0 || (s.excludePatterns?.length ?? 0) > 0;
  const plain = (followLinks: boolean): string[] =>
    selectors.filter((s) => !isFiltered(s) && (s.followLinks ?? false) === followLinks).map(({ path }) => path);
  return [
    ...dedupePaths(plain(false)).map((path) => ({ path })),
    ...dedupePaths(plain(true)).map((path) => ({ path, followLinks: true })),
    ...selectors.filter(isFiltered),
  ].toSorted((a, b) => compareText(a.path, b.path));
}

/** The common shape: each action on the one before, the last one gives the output. Keys made before indexes were part of them. */
function isDefaultIndexes(indexes: readonly (readonly number[])[]): boolean {
  const last = indexes.length - 1;
  return indexes.every(
    ([input, secondaryInput, output], i) =>
      input === (i === 0 ? 0 : indexes.length + i - 1) &&
      (secondaryInput === -1 || secondaryInput === 1) &&
      output === (i === last ? 0 : -1),
  );
}
