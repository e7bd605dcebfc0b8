import { UnsupportedSubrequestError } from "@buildkit-ts/errdefs";
import type { SourceMap } from "@buildkit-ts/llb";
import type { ConvertSettings, ConvertWorld } from "../convert/convert-options.ts";
import type { FrontendResult } from "../frontend-client.ts";
import { encodeJson } from "../text/encode-json.ts";
import { convertToJson } from "./convert-llb.ts";
import { formatLint, lint, lintToJson } from "./lint.ts";
import { encodeOutline, formatOutline, outline } from "./outline.ts";
import { formatTargets, targets } from "./targets.ts";
import { alignColumns } from "./text-table.ts";

/** What an answer is made from. */
export interface SubrequestContext {
  readonly data: Uint8Array;
  readonly sourceMap: SourceMap;
  readonly settings: ConvertSettings;
  readonly world: ConvertWorld;
  readonly signal: AbortSignal;
}

const answers: Readonly<Record<string, (context: SubrequestContext) => Promise<FrontendResult>>> = {
  "frontend.subrequests.describe": () => Promise.resolve(describe()),
  "frontend.outline": async (context) => {
    const value = await outline(context.data, failingOnWarnings(context));
    return answer(encodeOutline(value), { text: formatOutline(value) });
  },
  "frontend.targets": ({ data }) => {
    const list = targets(data);
    return Promise.resolve(answer(encodeJson(list, 2), { text: formatTargets(list) }));
  },
  "frontend.lint": async (context) => {
    const result = await lint(context.data, context);
    const json = encodeJson(lintToJson(result, context.sourceMap), 2);
    const status = result.warnings.length > 0 || result.error !== undefined ? "1" : "0";
    return answer(json, { text: formatLint(result, context.sourceMap), status });
  },
  "frontend.convertllb": async (context) =>
    answer(await convertToJson(failingOnWarnings(context)), { version: "0.1.0" }),
};

/** Nobody is shown the warnings, but where they are errors (`# check=error=true`), they stop these answers too. */
function failingOnWarnings(context: SubrequestContext): SubrequestContext {
  return { ...context, settings: { ...context.settings, warn: () => undefined } };
}

/**
 * Answers a request that is no build; undefined if there is none.
 *
 * @throws {UnsupportedSubrequestError} for one that is not known.
 */
export async function answerSubrequest(
  id: string | undefined,
  context: SubrequestContext,
): Promise<FrontendResult | undefined> {
  if (id === undefined) return undefined;
  const handler = Object.hasOwn(answers, id) ? answers[id] : undefined;
  if (handler === undefined) throw new UnsupportedSubrequestError(id);
  return await handler(context);
}

function answer(
  json: Uint8Array,
  parts: { readonly text?: string; readonly status?: string; readonly version?: string },
): FrontendResult {
  const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
  const metadata = new Map([["result.json", json]]);
  if (parts.text !== undefined) metadata.set("result.txt", encode(parts.text));
  if (parts.status !== undefined) metadata.set("result.statuscode", encode(parts.status));
  metadata.set("version", encode(parts.version ?? "1.0.0"));
  return { ref: undefined, refs: new Map(), metadata };
}

function describe(): FrontendResult {
  const named = (name: string, description = ""): object => ({ name, description });
  const metadata = [named("result.json"), named("result.txt")];
  const entry = (name: string, description: string, opts: readonly object[] | null): Entry => ({
    name,
    version: "1.0.0",
    type: "rpc",
    description,
    opts,
    inputs: null,
    metadata,
    refs: null,
  });
  const target = named("target", "Target build stage");
  const list = [
    entry("frontend.outline", "List all parameters current build target supports", [target]),
    entry("frontend.targets", "List all targets current build supports", []),
    entry("frontend.subrequests.describe", "List available subrequest types", null),
  ];
  const rows = list.map(({ name, version, description }) => [name.replace(/^frontend\./, ""), version, description]);
  return answer(encodeJson(list, 2), { text: alignColumns([["NAME", "VERSION", "DESCRIPTION"], ...rows], 1) });
}

interface Entry {
  readonly name: string;
  readonly version: string;
  readonly type: string;
  readonly description: string;
  readonly opts: readonly object[] | null;
  readonly inputs: null;
  readonly metadata: readonly object[];
  readonly refs: null;
}
