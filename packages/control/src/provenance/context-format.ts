import { parseGitRef } from "@buildkit-ts/dockerfile";
import type { ContextFormat } from "@buildkit-ts/provenance";

/** How Dockerfile frontends name git repositories as contexts: `https://host/repo.git#ref:dir`. */
export const contextFormat: ContextFormat = (context) => {
  const git = parse(context);
  if (git === undefined) return undefined;
  const { remote, ref, subdir } = git;
  const repository = ref === "" ? remote : `${remote}#${ref}`;
  if (subdir === "") return { repository, withDirectory: repository };
  return { repository: repository, withDirectory: `${remote}#${ref}:${subdir}` };
};

function parse(context: string): ReturnType<typeof parseGitRef> {
  try {
    return parseGitRef(context);
  } catch {
    // A query that makes no sense fails the build where the context is used; here it is just a text.
    return undefined;
  }
}
