import { BuildError } from "@buildkit-ts/errdefs";
import type { StoreAttributes } from "../object-store.ts";
import { durationMs } from "../store-attributes.ts";

/** Where GitHub's cache service is, and which cache in it is meant. */
export interface GithubConfig {
  /** Tells caches of one repository and branch apart. */
  readonly scope: string;
  readonly url: string;
  readonly apiVersion: 1 | 2;
  /** For the cache service. */
  readonly token: string;
  /** For GitHub's REST API, with `repository`: what is there is then listed once. */
  readonly apiToken: string;
  /** `owner/name`. */
  readonly repository: string;
  /** How long the service may ask to be left alone. */
  readonly timeoutMs: number;
}

const v2Host = "results-receiver.actions.githubusercontent.com";

/** @throws {BuildError} `invalid_argument`, naming the attribute. */
export function parseGithubConfig(attributes: StoreAttributes): GithubConfig {
  const token = attributes["token"];
  if (token === undefined) throw invalid("token not set for github actions cache");
  const { url, apiVersion } = parseService(attributes);
  const timeoutMs = durationMs(attributes["timeout"] ?? "10m");
  if (timeoutMs === undefined) throw invalid("failed to parse timeout for github actions cache");
  return {
    scope: attributes["scope"] ?? "buildkit",
    url,
    apiVersion,
    token,
    apiToken: attributes["ghtoken"] ?? "",
    repository: attributes["repository"] ?? "",
    timeoutMs,
  };
}

function parseService(attributes: StoreAttributes): Pick<GithubConfig, "url" | "apiVersion"> {
  const { version, url: urlV1 = "", url_v2: urlV2 } = attributes as Readonly<Partial<Record<string, string>>>;
  if (version !== undefined && !/^[+-]?\d{1,18}$/.test(version))
    throw invalid(`failed to parse api version ${JSON.stringify(version.slice(0, 100))}, expected positive integer`);
  const wanted = Number(version ?? 0);
  if (wanted !== 1 && urlV2 !== undefined && urlV2 !== "") return { url: checkUrl(urlV2), apiVersion: 2 };
  if (urlV1 === "") throw invalid("url not set for github actions cache");
  // Old clients do not say which version they have the URL of.
  const isV2 = wanted === 0 ? urlV1.includes(v2Host) : wanted > 1;
  return { url: checkUrl(urlV1), apiVersion: isV2 ? 2 : 1 };
}

function checkUrl(url: string): string {
  const parsed = URL.parse(url);
  if (parsed === null || !/^https?:$/.test(parsed.protocol))
    throw invalid("url of github actions cache is not a valid url");
  return url.replace(/\/+$/, "");
}

function invalid(message: string): BuildError {
  return new BuildError("invalid_argument", message);
}
