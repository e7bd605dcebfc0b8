import { isDeepStrictEqual } from "node:util";
import type { Materials } from "./materials.ts";
import { redactCredentials } from "./redact-credentials.ts";
import { type DigestSet, digestSet, gitDigestSet } from "./resource-descriptor.ts";

/** Where a build's definition came from. */
export interface ConfigSource {
  readonly uri?: string;
  readonly digest?: DigestSet;
  readonly path?: string;
}

/** What was asked of a frontend. Members that say nothing are absent. */
export interface RequestParameters {
  readonly frontend?: string;
  readonly args?: Readonly<Record<string, string>>;
  readonly secrets?: readonly { readonly id: string; readonly optional?: boolean }[];
  readonly ssh?: readonly { readonly id: string; readonly optional?: boolean }[];
  readonly locals?: readonly { readonly name: string }[];
  /** Requests that made the definitions which the frontend was given, by their names. */
  readonly inputs?: Readonly<Record<string, RequestProvenance>>;
  /** What the client asked for, where a frontend asked this one. */
  readonly root?: RequestProvenance;
  readonly compatibilityVersion?: number;
}

/** One request to a frontend, with where its definition came from. */
export interface RequestProvenance {
  readonly configSource: ConfigSource;
  readonly request: RequestParameters;
}

/** How contexts name git repositories: frontends decide it. */
export type ContextFormat = (
  context: string,
) => { readonly repository: string; readonly withDirectory: string } | undefined;

const hostSpecific = new Set(["cgroup-parent", "image-resolve-mode", "platform", "cache-imports"]);

/** A frontend's options without what only concerns this host or the attestations themselves, and without passwords. */
export function publicArgs(options: Readonly<Record<string, string>>): Record<string, string> {
  const contextKey = options["contextkey"] || "context";
  const kept = Object.entries(options).filter(
    ([key]) => !hostSpecific.has(key) && !key.startsWith("attest:") && !key.startsWith("build-arg:BUILDKIT_ATTEST_"),
  );
  return Object.fromEntries(
    kept.map(([key, value]) => {
      const isContext = key === contextKey || key.startsWith("context:");
      return [key, isContext || key === "vcs:source" ? redactCredentials(value) : value];
    }),
  );
}

/**
 * The request of a frontend: the context and the file are where the definition came from, the rest are arguments.
 *
 * `materials` is asked for where there is a context that may be one of them.
 */
export function describeRequest(
  frontend: string,
  options: Readonly<Record<string, string>>,
  found: { readonly materials: () => Materials; readonly contextFormat: ContextFormat },
): RequestProvenance {
  const args = new Map(Object.entries(publicArgs(options)));
  const contextKey = args.get("contextkey") || (args.get("input:context") ? "input:context" : "context");
  const context = args.get(contextKey) ?? "";
  const path = args.get("filename") ?? "";
  if (context !== "") args.delete(contextKey);
  if (path !== "") args.delete("filename");
  return {
    configSource: {
      ...(context !== "" && configSourceOf(redactCredentials(context), found)),
      ...(path !== "" && { path }),
    },
    request: { ...(frontend !== "" && { frontend }), ...(args.size > 0 && { args: sorted(args) }) },
  };
}

function configSourceOf(
  context: string,
  { materials, contextFormat }: { readonly materials: () => Materials; readonly contextFormat: ContextFormat },
): ConfigSource {
  const git = contextFormat(context);
  const repository = git?.repository ?? context;
  const { git: repositories, http } = materials();
  const commit = repositories.find(({ url }) => url === repository)?.commit;
  if (commit !== undefined) return { uri: git?.withDirectory ?? context, digest: gitDigestSet(commit) };
  const file = http.find(({ url }) => url === repository);
  return file === undefined ? { uri: context } : { uri: file.url, digest: digestSet(file.digest) };
}

function sorted(args: ReadonlyMap<string, string>): Record<string, string> {
  return Object.fromEntries([...args].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

/** Whether two requests are the same; members in any order. */
export function isSameRequest(a: RequestProvenance, b: RequestProvenance): boolean {
  return isDeepStrictEqual(a, b);
}

/** The request without what users may want to keep to themselves, and whether there was any of it. */
export function scrubRequest(request: RequestParameters): {
  readonly request: RequestParameters;
  readonly scrubbed: boolean;
} {
  const { args = {}, secrets: _secrets, ssh: _ssh, inputs, root, ...rest } = request;
  const isPrivate = (key: string): boolean => key.startsWith("build-arg:") || key.startsWith("label:");
  const kept = Object.entries(args).filter(([key]) => !isPrivate(key));
  const scrubbedInputs = Object.entries(inputs ?? {}).map(([name, input]) => [name, scrub(input)] as const);
  const scrubbedRoot = root === undefined ? undefined : scrub(root);
  return {
    request: {
      ...(rest.frontend !== undefined && { frontend: rest.frontend }),
      ...(kept.length > 0 && { args: Object.fromEntries(kept) }),
      ...(rest.locals !== undefined && { locals: rest.locals }),
      ...(inputs !== undefined && {
        inputs: Object.fromEntries(scrubbedInputs.map(([name, { provenance }]) => [name, provenance])),
      }),
      ...(scrubbedRoot !== undefined && { root: scrubbedRoot.provenance }),
      ...(rest.compatibilityVersion !== undefined && { compatibilityVersion: rest.compatibilityVersion }),
    },
    scrubbed:
      kept.length < Object.keys(args).length ||
      scrubbedInputs.some(([, input]) => input.scrubbed) ||
      (scrubbedRoot?.scrubbed ?? false),
  };
}

function scrub(provenance: RequestProvenance): { readonly provenance: RequestProvenance; readonly scrubbed: boolean } {
  const { request, scrubbed } = scrubRequest(provenance.request);
  return { provenance: { ...provenance, request }, scrubbed };
}
