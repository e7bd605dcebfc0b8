import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { parseGithubConfig } from "./github-config.ts";

const token = "t";
const [one, two] = ["https://one.example/path/", "https://two.example"];
const receiver = "https://results-receiver.actions.githubusercontent.com/";

suite("parseGithubConfig()", () => {
  for (const [attributes, url, apiVersion] of [
    [{ url: one }, "https://one.example/path", 1],
    [{ url: one, url_v2: two }, two, 2],
    [{ url: one, url_v2: two, version: "1" }, "https://one.example/path", 1],
    [{ url: one, url_v2: two, version: "2" }, two, 2],
    [{ url: one, version: "2" }, "https://one.example/path", 2],
    [{ url: receiver }, receiver.slice(0, -1), 2],
    [{ url: receiver, version: "1" }, receiver.slice(0, -1), 1],
  ] as const) {
    test(`takes version ${apiVersion} for ${JSON.stringify(attributes)}`, () => {
      const config = parseGithubConfig({ token, ...attributes });
      assert.deepEqual([config.url, config.apiVersion], [url, apiVersion]);
      assert.deepEqual([config.scope, config.timeoutMs], ["buildkit", 600_000]);
    });
  }

  for (const [attributes, message] of [
    [{ url: one }, "token not set for github actions cache"],
    [{ token }, "url not set for github actions cache"],
    [{ token, url_v2: two, version: "1" }, "url not set for github actions cache"],
    [{ token, url: "no url" }, "url of github actions cache is not a valid url"],
    [{ token, url: one, version: "x" }, 'failed to parse api version "x", expected positive integer'],
    [{ token, url: one, timeout: "soon" }, "failed to parse timeout for github actions cache"],
  ] as const) {
    test(`refuses ${JSON.stringify(attributes)}`, () => {
      assert.throws(() => parseGithubConfig(attributes), { code: "invalid_argument", message });
    });
  }
});
