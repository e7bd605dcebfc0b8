import { formatGoJson } from "@buildkit-ts/gotext";
import { digestOf } from "@buildkit-ts/oci";
import type { SourceRequest } from "../source.ts";
import { parseBoolAttribute, parseTextList, stripScheme } from "../source-attributes.ts";

/** A `local://` source: which files of which directory of a client. */
export interface LocalIdentifier {
  readonly name: string;
  /** The session that has the directory; undefined for any of the build's. */
  readonly session: string | undefined;
  readonly includePatterns: readonly string[] | undefined;
  readonly excludePatterns: readonly string[] | undefined;
  readonly followPaths: readonly string[] | undefined;
  readonly sharedKeyHint: string;
  /** `none` asks for every file anew. */
  readonly differ: "metadata" | "none";
  readonly metadataOnly: boolean;
  readonly metadataExceptions: readonly string[] | undefined;
}

/** @throws {BuildError} `invalid_argument`, naming the attribute. */
export function parseLocalIdentifier(request: SourceRequest): LocalIdentifier {
  const { attributes } = request;
  const name = stripScheme(request.identifier, "local");
  const session = attributes["local.session"] ?? "";
  const colon = session.indexOf(":");
  return {
    // `name:id` names a directory of one of several clients of a build.
    name: colon < 0 ? name : `${session.slice(0, colon)}-${name}`,
    session: session === "" ? undefined : session.slice(colon + 1),
    includePatterns: parseTextList("local.includepattern", attributes["local.includepattern"]),
    excludePatterns: parseTextList("local.excludepatterns", attributes["local.excludepatterns"]),
    followPaths: parseTextList("local.followpaths", attributes["local.followpaths"]),
    sharedKeyHint: attributes["local.sharedkeyhint"] ?? "",
    differ: attributes["local.differ"] === "none" ? "none" : "metadata",
    metadataOnly: parseBoolAttribute("local.metadatatransfer", attributes["local.metadatatransfer"]),
    metadataExceptions: parseTextList("local.metadatatransferexclude", attributes["local.metadatatransferexclude"]),
  };
}

/** The key of one transfer, in BuildKit's bytes (`source/local/source.go`): one session's files are one state. */
export function localCacheKey(id: LocalIdentifier, session: string): { readonly key: string; readonly pin: string } {
  const json = formatGoJson({
    SessionID: session,
    IncludePatterns: id.includePatterns ?? null,
    ExcludePatterns: id.excludePatterns ?? null,
    FollowPaths: id.followPaths ?? null,
    ...(id.metadataOnly && { MetadataTransfer: true }),
    ...(id.metadataExceptions !== undefined &&
      id.metadataExceptions.length > 0 && { MetadataExceptions: id.metadataExceptions }),
  });
  const digest = digestOf(json);
  return { key: `session:${id.name}:${digest}`, pin: digest };
}
