import assert from "node:assert/strict";
import { test } from "node:test";
import { containerResolvConf, formatResolvConf, isResolvedStub, parseResolvConf } from "./resolv-conf.ts";

const host =
  "# made by hand\nnameserver 127.0.0.1\nnameserver 192.0.2.1\nnameserver nonsense\nsearch a b\noptions ndots:2\n";

test("containerResolvConf() drops servers that only the host can reach", () => {
  const conf = parseResolvConf(host);
  const text = (hostNetwork: boolean): string => formatResolvConf(containerResolvConf(conf, { hostNetwork }));
  assert.equal(text(false), "nameserver 192.0.2.1\nsearch a b\noptions ndots:2\n");
  assert.equal(text(true), "nameserver 127.0.0.1\nnameserver 192.0.2.1\nsearch a b\noptions ndots:2\n");
});

test("containerResolvConf() falls back to public servers when none is left", () => {
  const { nameservers } = containerResolvConf(parseResolvConf("nameserver ::1\n"), { hostNetwork: false });
  assert.deepEqual(nameservers.slice(0, 2), ["8.8.8.8", "8.8.4.4"]);
});

test("containerResolvConf() prefers what the daemon is configured with, part by part", () => {
  const dns = { nameservers: ["127.0.0.9"], searchDomains: ["x"], options: [] };
  const text = formatResolvConf(containerResolvConf(parseResolvConf(host), { dns, hostNetwork: false }));
  assert.equal(text, "nameserver 127.0.0.9\nsearch x\noptions ndots:2\n");
});

test("isResolvedStub() sees systemd-resolved only where it is the only server", () => {
  assert.equal(isResolvedStub(parseResolvConf("nameserver 127.0.0.53\n")), true);
  assert.equal(isResolvedStub(parseResolvConf("nameserver 127.0.0.53\nnameserver 192.0.2.1\n")), false);
});
