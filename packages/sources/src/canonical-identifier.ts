import { BuildError } from "@buildkit-ts/errdefs";
import { formatReference, parseReference, withDefaultTag } from "@buildkit-ts/oci";
import { canonicalGitIdentifier, parseGitIdentifier } from "./git/git-identifier.ts";

/**
 * One spelling for all that name the same source, which policies are written for: a path with `..` in it, a tag that is
 * left out or a user name in a URL must not get past them. What cannot be read stays as it is, and fails later.
 */
export function canonicalIdentifier(identifier: string, attributes: Readonly<Record<string, string>>): string {
  const scheme = identifier.slice(0, Math.max(identifier.indexOf("://"), 0));
  try {
    switch (scheme) {
      case "docker-image": {
        const reference = parseReference(identifier.slice(scheme.length + 3));
        return `${scheme}://${formatReference(withDefaultTag(reference))}`;
      }
      case "git": {
        const vertex = { identifier, attributes, platform: { os: "", architecture: "" }, vertex: "" };
        return canonicalGitIdentifier(parseGitIdentifier(vertex));
      }
      default:
        return identifier;
    }
  } catch (error) {
    if (error instanceof BuildError) return identifier;
    throw error;
  }
}
