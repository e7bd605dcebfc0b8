import type { SourceRange } from "@buildkit-ts/errdefs";
import type { BuildStage } from "../convert/build-stage.ts";
import { type Conversion, convert } from "../convert/convert.ts";
import type { ArgInfo, MountInfo } from "../convert/stage-outline.ts";
import { type OfflineOptions, withDefaults } from "../editor/offline-world.ts";
import { encodeJson } from "../text/encode-json.ts";
import { type JsonLocation, jsonLocation } from "./locations.ts";
import { alignColumns } from "./text-table.ts";

/** What a target takes from outside. */
export interface Outline {
  readonly name?: string;
  readonly description?: string;
  readonly args?: readonly {
    readonly name: string;
    readonly description?: string;
    readonly value?: string;
    readonly location?: JsonLocation;
  }[];
  readonly secrets?: readonly OutlineMount[];
  readonly ssh?: readonly OutlineMount[];
  /** Base64. */
  readonly sources?: readonly string[];
}

/** A secret or SSH socket. */
export interface OutlineMount {
  readonly name: string;
  readonly required?: boolean;
  readonly location?: JsonLocation;
}

/** Describes the arguments, secrets and SSH sockets of a target. Needs no daemon. @throws {LocatedError} */
export async function outline(data: Uint8Array, options: OfflineOptions = {}): Promise<Outline> {
  return outlineOf(await convert(data, withDefaults(options)), data);
}

function outlineOf({ target }: Conversion, data: Uint8Array): Outline {
  const stages = inOrder(target);
  const args = collect(stages, usedArgs).map(([, info]) => ({
    name: info.key,
    ...(info.description !== "" && { description: info.description }),
    ...(info.value !== "" && { value: info.value }),
    ...located(info.location),
  }));
  const { stageName, description } = target.stage;
  return {
    ...(stageName !== "" && { name: stageName }),
    ...(description !== "" && { description }),
    ...nonEmpty("args", args),
    ...nonEmpty("secrets", collect(stages, (stage) => stage.outline.secrets).map(mountOf)),
    ...nonEmpty("ssh", collect(stages, (stage) => stage.outline.ssh).map(mountOf)),
    sources: [Buffer.from(data).toString("base64")],
  };
}

/** The stage, its base, and what both need; each once. */
function inOrder(target: BuildStage): BuildStage[] {
  const seen = new Set<BuildStage>();
  const stack = [target];
  for (let stage = stack.pop(); stage !== undefined; stage = stack.pop()) {
    if (seen.has(stage)) continue;
    seen.add(stage);
    stack.push(...[...stage.dependencies.keys()].toReversed(), ...(stage.base === undefined ? [] : [stage.base]));
  }
  return [...seen];
}

function usedArgs(stage: BuildStage): ReadonlyMap<string, ArgInfo> {
  const used = new Map<string, ArgInfo>();
  for (const name of stage.outline.allUsedArgs()) {
    const info = stage.outline.args.get(name);
    if (info !== undefined) used.set(name, info);
  }
  return used;
}

function collect<T extends { readonly location: readonly SourceRange[] }>(
  stages: readonly BuildStage[],
  of: (stage: BuildStage) => ReadonlyMap<string, T>,
): [string, T][] {
  const found = new Map<string, T>();
  for (const stage of stages) for (const [name, info] of of(stage)) if (!found.has(name)) found.set(name, info);
  return [...found].toSorted(([, a], [, b]) => lineOf(a.location) - lineOf(b.location));
}

function lineOf(location: readonly SourceRange[]): number {
  return location[0]?.start.line ?? 0;
}

function mountOf([name, info]: [string, MountInfo]): OutlineMount {
  return { name, ...(info.required && { required: true }), ...located(info.location) };
}

function located(location: readonly SourceRange[]): { location?: JsonLocation } {
  return location.length === 0 ? {} : { location: jsonLocation(location) };
}

function nonEmpty<K extends string, T>(key: K, items: readonly T[]): { [P in K]?: readonly T[] } {
  return (items.length === 0 ? {} : { [key]: items }) as { [P in K]?: readonly T[] };
}

/** The outline as people read it. */
export function formatOutline(value: Outline): string {
  const parts: string[] = [];
  if (value.name !== undefined || value.description !== undefined) {
    const rows = [["TARGET:", value.name ?? "(default)"]];
    if (value.description !== undefined) rows.push(["DESCRIPTION:", value.description]);
    parts.push(alignColumns(rows, 1));
  }
  const args = (value.args ?? []).map((arg) => [arg.name, arg.value ?? "", arg.description ?? ""]);
  if (args.length > 0) parts.push(alignColumns([["BUILD ARG", "VALUE", "DESCRIPTION"], ...args], 3));
  for (const [title, mounts] of [
    ["SECRET", value.secrets],
    ["SSH", value.ssh],
  ] as const) {
    const rows = (mounts ?? []).map(({ name, required }) => [name, required === true ? "true" : ""]);
    if (rows.length > 0) parts.push(alignColumns([[title, "REQUIRED"], ...rows], 3));
  }
  return parts.map((part) => `${part}\n`).join("");
}

/** The outline's JSON. */
export function encodeOutline(value: Outline): Uint8Array {
  return encodeJson(value, 2);
}
