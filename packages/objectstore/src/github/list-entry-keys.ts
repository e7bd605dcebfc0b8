import type { StoreOptions } from "../object-store.ts";
import type { GithubConfig } from "./github-config.ts";
import type { GithubHttp } from "./github-http.ts";

const perPage = 100;
const maxPages = 1000;

/** The keys of all entries of some branches that begin with a prefix, from GitHub's REST API. */
export async function listEntryKeys(
  http: GithubHttp,
  query: Pick<GithubConfig, "repository" | "apiToken"> & {
    readonly apiUrl: string;
    readonly prefix: string;
    readonly refs: readonly string[];
  },
  options: StoreOptions,
): Promise<ReadonlySet<string>> {
  const keys = new Set<string>();
  await Promise.all(
    query.refs.map(async (ref) => {
      for (let page = 1; page <= maxPages; page += 1) {
        const search = new URLSearchParams({ per_page: String(perPage), page: String(page), key: query.prefix, ref });
        const path = query.repository.split("/").map(encodeURIComponent).join("/");
        const answer = await http.json(
          {
            action: `list cache entries of "${query.repository}"`,
            method: "GET",
            url: `${query.apiUrl}/repos/${path}/actions/caches?${search.toString()}`,
            headers: {
              accept: "application/vnd.github+json",
              authorization: `Bearer ${query.apiToken}`,
              "x-github-api-version": "2022-11-28",
            },
          },
          options,
        );
        const { total_count: total, actions_caches: caches } = answer;
        for (const { key } of Array.isArray(caches) ? (caches as readonly { readonly key?: unknown }[]) : [])
          if (typeof key === "string") keys.add(key);
        if (typeof total !== "number" || total <= page * perPage) return;
      }
    }),
  );
  return keys;
}
