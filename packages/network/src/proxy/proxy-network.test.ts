import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { promisify } from "node:util";
import { HostNetworkProvider } from "../host-network-provider.ts";
import { PersistentNamespaces } from "../namespaces/persistent-namespaces.ts";
import type { NetworkProvider } from "../network-provider.ts";
import { NoneNetworkProvider } from "../none-network-provider.ts";
import { type ProxiedNamespace, ProxyNetwork } from "./proxy-network.ts";
import type { ProxyReport } from "./proxy-report.ts";

const signal = new AbortController().signal;
const skip = process.getuid?.() === 0 ? false : "needs root";

/** Prints what the proxy answers for a URL. */
const askProxy = `
const { request } = require("node:http");
request(process.env.HTTP_PROXY, { path: process.argv[1] }, (answer) => {
  process.stdout.write(answer.statusCode + " ");
  answer.pipe(process.stdout);
}).end();`;

/** Prints whether an address can be reached without a proxy. */
const connect = `
const [host, port] = process.argv.slice(1);
require("node:net").connect({ host, port, timeout: 2000 })
  .on("connect", function () { console.log("reached"); this.destroy(); })
  .on("timeout", function () { console.log("not reached"); this.destroy(); })
  .on("error", () => console.log("not reached"));`;

/** Runs a script of JavaScript where a step's processes would be. */
async function inStep(namespace: ProxiedNamespace, script: string, args: readonly string[]): Promise<string> {
  assert.ok(namespace.join.kind === "path");
  const env = Object.fromEntries(namespace.env.map((entry) => entry.split(/=(.*)/s, 2)));
  const program = [`--net=${namespace.join.path}`, process.execPath, "-e", script, ...args];
  const { stdout } = await promisify(execFile)("nsenter", program, { env: { PATH: process.env["PATH"], ...env } });
  return stdout.trim();
}

/** One of the machine's own, other than loopback; one that is nobody's where it has none. */
function hostAddress(): string {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return addresses.find(({ family, internal }) => family === "IPv4" && !internal)?.address ?? "192.0.2.1";
}

suite("ProxyNetwork", { skip }, () => {
  const folder = mkdtempSync(join(tmpdir(), "proxy-network-"));
  const directory = join(folder, "proxy");
  const failures: unknown[] = [];
  const reporter = { report: (error: unknown) => void failures.push(error) };
  const server = createServer((_request, response) => response.end("from the host\n"));
  let network: ProxyNetwork;
  let origin: string;

  before(async () => {
    await once(server.listen(0, "0.0.0.0"), "listening");
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    network = await ProxyNetwork.open({ directory, reporter });
  });

  after(async () => {
    await network[Symbol.asyncDispose]();
    server.close();
    assert.deepEqual(readdirSync(directory), []);
    assert.deepEqual(failures, []);
    rmSync(folder, { recursive: true });
  });

  const reportOf = async (
    egress: NetworkProvider,
    use: (namespace: ProxiedNamespace) => Promise<void>,
  ): Promise<ProxyReport | undefined> => {
    let report: ProxyReport | undefined;
    {
      const proxy = { onReport: (told: ProxyReport) => void (report = told) };
      await using namespace = await network.acquire(proxy, { egress, signal });
      await use(namespace);
    }
    return report;
  };

  test("gives a step what its proxy fetches by the network of the step's mode", async () => {
    const report = await reportOf(new HostNetworkProvider(), async (namespace) => {
      assert.equal(await inStep(namespace, askProxy, [`${origin}/`]), "200 from the host");
    });
    assert.deepEqual(report?.requests, [{ method: "GET", url: `${origin}/`, status: 200 }]);
    assert.equal(report?.materials.length, 1);
  });

  test("has no other way out, and none into the proxy's own network", async () => {
    const report = await reportOf(new HostNetworkProvider(), async (namespace) => {
      const { port } = new URL(origin);
      // The proxy's address, loopback, and the rest of the world: the host listens to all of them.
      for (const host of ["10.89.0.1", "127.0.0.1", hostAddress()]) {
        assert.equal(await inStep(namespace, connect, [host, port]), "not reached", host);
      }
    });
    assert.deepEqual(report?.requests, []);
  });

  test("reaches no service of the host from a network that is not the host's", async () => {
    const namespaces = new PersistentNamespaces(join(folder, "egress"));
    const path = await namespaces.create("one");
    const egress: NetworkProvider = {
      name: "test",
      acquire: async () => ({ join: { kind: "path", path }, [Symbol.asyncDispose]: async () => undefined }),
      [Symbol.asyncDispose]: async () => undefined,
    };
    const report = await reportOf(egress, async (namespace) => {
      assert.match(await inStep(namespace, askProxy, [`${origin}/`]), /^502 .*(ECONNREFUSED|ENETUNREACH)/);
    });
    assert.deepEqual(report?.requests, [{ method: "GET", url: `${origin}/`, status: 502 }]);
    await namespaces.delete("one");
  });

  test("uses namespaces again, and two for steps at a time", async () => {
    const paths: unknown[] = [];
    const proxy = { onReport: () => undefined };
    for (let count = 0; count < 2; count += 1) {
      await using one = await network.acquire(proxy, { egress: new HostNetworkProvider(), signal });
      await using two = await network.acquire(proxy, { egress: new HostNetworkProvider(), signal });
      paths.push(one.join, two.join);
      assert.notDeepEqual(one.join, two.join);
      assert.equal(one.authority, two.authority);
    }
    assert.equal(new Set(paths.map((path) => JSON.stringify(path))).size, 2);
  });

  test("refuses a mode without network", async () => {
    const proxy = { onReport: () => undefined };
    await assert.rejects(network.acquire(proxy, { egress: new NoneNetworkProvider(), signal }), {
      code: "invalid_argument",
    });
  });

  test("removes what a killed daemon has left", async () => {
    const left = join(folder, "left");
    await new PersistentNamespaces(left).create("x-step");
    await using other = await ProxyNetwork.open({ directory: left, reporter });
    assert.ok(other);
    assert.deepEqual(readdirSync(left), []);
  });
});
