import { toJson } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import type { SourceRange } from "@buildkit-ts/errdefs";
import { BuildError } from "@buildkit-ts/errdefs";
import type { SourceMap } from "@buildkit-ts/llb";
import { definitionToProto } from "@buildkit-ts/llb";
import { convert } from "../convert/convert.ts";
import { type OfflineOptions, withDefaults } from "../editor/offline-world.ts";
import type { LintWarning } from "../lint/linter.ts";
import { locationsOf } from "../text/located-error.ts";
import { type JsonLocation, jsonLocation, mergeRanges } from "./locations.ts";
import { printSnippet } from "./snippet.ts";

/** What the linter found. */
export interface LintResult {
  readonly warnings: readonly LintWarning[];
  /** Why the Dockerfile could not be built at all. */
  readonly error: { readonly message: string; readonly location: readonly SourceRange[] } | undefined;
}

/** Checks a Dockerfile, all its stages unless a target is named. Needs no daemon unless `options.world` does. */
export async function lint(data: Uint8Array, offline: OfflineOptions = {}): Promise<LintResult> {
  const options = withDefaults(offline);
  const warnings: LintWarning[] = [];
  const settings = {
    ...options.settings,
    warn: (warning: LintWarning): void => {
      warnings.push(warning);
    },
    allStages: options.settings.target === "",
  };
  try {
    await convert(data, { ...options, settings });
    return { warnings, error: undefined };
  } catch (error) {
    options.signal.throwIfAborted();
    const location = mergeRanges(locationsOf(error).flat());
    return { warnings, error: { message: BuildError.from(error).message, location } };
  }
}

/** The result as `frontend.lint` answers it. */
export function lintToJson({ warnings, error }: LintResult, source: SourceMap): object {
  return {
    warnings:
      warnings.length === 0
        ? null
        : warnings.map((warning) => ({
            ruleName: warning.rule,
            ...(warning.description !== "" && { description: warning.description }),
            ...(warning.url !== "" && { url: warning.url }),
            ...(warning.message !== "" && { detail: warning.message }),
            location: jsonLocation(warning.location),
          })),
    sources: [sourceToJson(source)],
    ...(error !== undefined && { buildError: { message: error.message, location: errorLocation(error.location) } }),
  };
}

function errorLocation(location: readonly SourceRange[]): JsonLocation {
  return jsonLocation(location);
}

function sourceToJson({ filename, language, data, definition }: SourceMap): object {
  return {
    ...(filename !== "" && { filename }),
    data: Buffer.from(data).toString("base64"),
    ...(definition !== undefined && {
      definition: toJson(opspb.DefinitionSchema, definitionToProto(definition), { useProtoFieldName: true }),
    }),
    ...(language !== "" && { language }),
  };
}

/** The warnings as people read them, by line. */
export function formatLint({ warnings }: LintResult, source: SourceMap): string {
  const lineOf = (warning: LintWarning): number => warning.location[0]?.start.line ?? 0;
  return warnings
    .toSorted((a, b) => lineOf(a) - lineOf(b))
    .map((warning) => {
      const url = warning.url === "" ? "" : ` - ${warning.url}`;
      return `\nWARNING: ${warning.rule}${url}\n${warning.message}\n${printSnippet(source, warning.location)}`;
    })
    .join("");
}
