import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { suite, test } from "node:test";
import { defaultUnpackLimits } from "@buildkit-ts/compression";
import { parseConfig } from "./config-file.ts";
import { parseFlags } from "./flags.ts";
import { resolveSettings } from "./settings.ts";

const text = readFileSync(new URL("../../../docs/configuration.md", import.meta.url), "utf8");
const example = /^```toml\n(.*?)^```$/ms.exec(text)?.[1] ?? "";
const sources = ["config-file.ts", "settings.ts"].map((name) => readFileSync(new URL(name, import.meta.url), "utf8"));

suite("docs/configuration.md", () => {
  test("has an example that the daemon starts with", () => {
    const settings = resolveSettings(parseFlags([]), parseConfig(example, "docs/configuration.md"));
    assert.equal(settings.gcRules.length, 2);
    assert.equal(settings.registries.size, 2);
    assert.equal(settings.maxRegistryConcurrency, 4);
    assert.deepEqual(settings.unpack, defaultUnpackLimits);
    assert.equal(settings.network.bridge.name, "buildkit0");
    assert.deepEqual(settings.dns?.nameservers, ["192.0.2.53"]);
  });

  test("tells of each key that is read", () => {
    const keys = [
      ...(sources[0] ?? "").matchAll(/\.(?:text|texts|boolean|number|quantity|strings|tables?)\("([^"]+)"\)/g),
    ];
    // Old names of others, which new files shall not use.
    const deprecated = ["gckeepstorage", "keepBytes", "containerd"];
    const missing = keys
      .map(([, key = ""]) => key)
      .filter((key) => !deprecated.includes(key) && !example.includes(key));
    assert.ok(keys.length > 40);
    assert.deepEqual(missing, []);
  });

  test("a key that is misspelt is named, wherever it is", () => {
    for (const [table, key] of [
      ["log", "levle"],
      ["worker.oci", "snapshoter"],
      ['registry."x"', "mirror"],
      ["dns", "nameserver"],
      ["history", "maxage"],
      ["system", "concurrency"],
      ["unpack", "ratio"],
      ["grpc.tls", "certificate"],
    ] as const) {
      assert.throws(() => parseConfig(`[${table}]\n${key} = "x"\n`, "x.toml"), {
        code: "invalid_argument",
        message: new RegExp(`${key}: no such key`),
      });
    }
  });
});
