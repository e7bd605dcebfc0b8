import assert from "node:assert/strict";
import { test } from "node:test";
import { createNetworkProvider } from "./create-network-provider.ts";

test("createNetworkProvider() makes the provider that the mode names", async () => {
  const signal = new AbortController().signal;
  for (const [mode, name, kind] of [
    ["auto", "host", "host"],
    ["", "host", "host"],
    ["host", "host", "host"],
    ["none", "none", "new"],
  ] as const) {
    await using provider = createNetworkProvider(mode);
    await using namespace = await provider.acquire({ signal, hostname: "" });
    assert.equal(provider.name, name);
    assert.equal(namespace.join.kind, kind);
  }
});

test("createNetworkProvider() refuses modes it cannot serve, by their name", () => {
  assert.throws(() => createNetworkProvider("cni"), { code: "unimplemented", message: /"cni"/ });
  assert.throws(() => createNetworkProvider("nat"), { code: "invalid_argument", message: /"nat"/ });
});
