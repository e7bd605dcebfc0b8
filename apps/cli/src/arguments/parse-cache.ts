import type { CacheEntry } from "@buildkit-ts/client";
import { BuildError } from "@buildkit-ts/errdefs";
import { parseBool } from "@buildkit-ts/gotext";
import { csvPairs } from "./csv-fields.ts";

/** Reads `--export-cache` or `--import-cache`; a bare reference means a registry. @throws {BuildError} `invalid_argument` */
export function parseCache(text: string, flag: "export-cache" | "import-cache"): CacheEntry {
  const isExport = flag === "export-cache";
  if (!text.includes("type=")) {
    return { type: "registry", attributes: { ...(isExport && { mode: "min" }), ref: text } };
  }
  const attributes: Record<string, string> = {};
  let type = "";
  for (const [key, value] of csvPairs(text, (field) => `invalid value ${field}`)) {
    if (key === "type") type = value;
    else attributes[key] = value;
  }
  if (type === "") throw new BuildError("invalid_argument", `--${flag} requires type=<type>`);
  if (isExport) attributes["mode"] ??= "min";
  if (type === "gha") addGithubAttributes(attributes);
  return { type, attributes };
}

/** What the Actions runner tells its steps. */
function addGithubAttributes(attributes: Record<string, string>): void {
  const { ACTIONS_CACHE_SERVICE_V2, ACTIONS_CACHE_URL, ACTIONS_RESULTS_URL, ACTIONS_RUNTIME_TOKEN } = process.env;
  const version = attributes["version"] ?? (parseBool(ACTIONS_CACHE_SERVICE_V2 ?? "") === true ? "2" : "");
  if (version === "2" && ACTIONS_RESULTS_URL !== undefined) attributes["url_v2"] ??= ACTIONS_RESULTS_URL;
  const url = attributes["url"] ?? ACTIONS_CACHE_URL ?? ACTIONS_RESULTS_URL;
  if (url !== undefined) attributes["url"] = url;
  else if (attributes["url_v2"] === undefined) {
    throw new BuildError("invalid_argument", "cache with type gha requires url parameter to be set");
  }
  const token = attributes["token"] ?? ACTIONS_RUNTIME_TOKEN;
  if (token === undefined) {
    const message = "cache with type gha requires token parameter or $ACTIONS_RUNTIME_TOKEN";
    throw new BuildError("invalid_argument", message);
  }
  attributes["token"] = token;
}
