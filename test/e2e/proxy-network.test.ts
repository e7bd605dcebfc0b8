import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { before, suite, test } from "node:test";
import { busyboxContext, shellStage } from "./support/busybox-context.ts";
import { CertificateAuthority } from "./support/certificates.ts";
import { TestDaemon } from "./support/daemon.ts";
import { ownedBySuite } from "./support/owned-by-suite.ts";
import { run, runOk, temporaryFolder } from "./support/processes.ts";

/** Requests for the host's own addresses go to the proxy as well: nobody answers them where the step is. */
const fetch = "NO_PROXY= no_proxy= wget -q -O -";
const bundlePath = "etc/ssl/certs/ca-certificates.crt";

interface BuildOptions {
  readonly args?: readonly string[];
  readonly files?: Readonly<Record<string, string>>;
}

async function build(
  daemon: TestDaemon,
  lines: string,
  { args = ["--proxy-network"], files = {} }: BuildOptions = {},
): Promise<{ readonly code: number | null; readonly output: string }> {
  const context = await busyboxContext(dirname(daemon.root), `${shellStage}FROM base\n${lines}\n`, files);
  const locals = [`--local=context=${context}`, `--local=dockerfile=${context}`];
  return await daemon.buildctl(["build", "--frontend=dockerfile.v0", "--progress=plain", ...locals, ...args]);
}

async function outputOf(daemon: TestDaemon, lines: string, options?: BuildOptions): Promise<string> {
  const { code, output } = await build(daemon, lines, options);
  assert.equal(code, 0, output);
  return output;
}

function digestOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  if (request.url === "/missing") response.writeHead(404);
  response.end(`this is ${request.url}\n`);
}

interface Statement {
  readonly predicate: {
    readonly buildDefinition: {
      readonly resolvedDependencies?: readonly { readonly uri: string; readonly digest: { readonly sha256: string } }[];
    };
    readonly runDetails: {
      readonly metadata: {
        readonly buildkit_metadata: { readonly network?: unknown };
        readonly buildkit_completeness: { readonly resolvedDependencies: boolean };
      };
    };
  };
}

suite("the proxy network", () => {
  const owned = ownedBySuite();
  const folder = owned.use(temporaryFolder("proxy-network"));
  const servers: Server[] = [];
  let daemon: TestDaemon;
  let plain: string;
  let secure: string;

  const listen = async (server: Server): Promise<number> => {
    servers.push(server);
    await once(server.listen(0, "127.0.0.1"), "listening");
    return (server.address() as AddressInfo).port;
  };

  before(async () => {
    owned.defer(() => {
      for (const server of servers) server.close();
    });
    const authority = await CertificateAuthority.make(folder.path, "authority");
    const { cert, key } = await authority.sign("server", ["IP:127.0.0.1"]);
    const identity = { cert: readFileSync(cert), key: readFileSync(key) };
    plain = `http://127.0.0.1:${await listen(createServer(answer))}`;
    secure = `https://127.0.0.1:${await listen(createSecureServer(identity, answer))}`;
    const trusting = ["env", `SSL_CERT_FILE=${authority.cert}`];
    daemon = owned.use(await TestDaemon.start(folder.path, ["--allow-insecure-entitlement=network.host"], trusting));
  });

  const provenanceOf = async (lines: string): Promise<Statement["predicate"]> => {
    const directory = mkdtempSync(join(folder.path, "result-"));
    const attest = ["--opt=attest:provenance=mode=max,version=v1", `--output=type=local,dest=${directory}`];
    await outputOf(daemon, lines, { args: ["--proxy-network", ...attest] });
    return (JSON.parse(readFileSync(join(directory, "provenance.json"), "utf8")) as Statement).predicate;
  };

  test("fetches for a step, tells what it was, and states it in the provenance", async () => {
    const lines = `RUN ${fetch} ${plain}/a && ${fetch} ${secure}/b`;
    const output = await outputOf(daemon, lines);
    assert.match(output, /this is \/a[^]*this is \/b/);
    for (const text of ["proxy network requests:", `- GET ${plain}/a -> 200`, `- GET ${secure}/b -> 200`])
      assert.ok(output.includes(text), output);
    const { buildDefinition, runDetails } = await provenanceOf(`${lines} # again`);
    for (const [uri, text] of [
      [`${plain}/a`, "this is /a\n"],
      [`${secure}/b`, "this is /b\n"],
    ] as const) {
      const found = buildDefinition.resolvedDependencies?.find((dependency) => dependency.uri === uri);
      assert.equal(found?.digest.sha256, digestOf(text), uri);
    }
    assert.deepEqual(runDetails.metadata.buildkit_metadata.network, { mode: "proxy" });
  });

  test("states what was not fetched to its end, or is not known any more", async () => {
    const lines = `RUN ${fetch} ${plain}/missing || true`;
    for (const expected of [
      { method: "GET", uri: `${plain}/missing`, reason: "unsuccessful_response" },
      { reason: "step_was_cached" },
    ]) {
      const { metadata } = (await provenanceOf(lines)).runDetails;
      const { network } = metadata.buildkit_metadata as {
        readonly network: { readonly mode: string; readonly proxy: { readonly incomplete: readonly object[] } };
      };
      assert.equal(network.mode, "proxy");
      assert.partialDeepStrictEqual(network.proxy.incomplete, [expected]);
      assert.equal(metadata.buildkit_completeness.resolvedDependencies, false);
    }
    const strict = ["--proxy-network", "--opt=attest:provenance=version=v1,complete-materials=true"];
    const result = `--output=type=local,dest=${mkdtempSync(join(folder.path, "result-"))}`;
    const { code, output } = await build(daemon, `${lines} # strict`, { args: [...strict, result] });
    assert.notEqual(code, 0);
    assert.match(output, /provenance materials are incomplete/);
    assert.ok(output.includes(`url: ${plain}/missing`), output);
  });

  test("is the only way out of a step", async () => {
    const { port } = new URL(plain);
    const output = await outputOf(
      daemon,
      [
        // The proxy's own address, the step's loopback, and somewhere that only a route could lead to.
        `RUN for host in \${HTTP_PROXY#http://} 127.0.0.1 192.0.2.1; do wget -Y off -T 2 -q -O - "http://\${host%:*}:${port}/" && exit 1; done; echo all refused`,
        "RUN --network=none env | grep -i proxy || echo no proxy",
      ].join("\n"),
    );
    assert.match(output, /all refused/);
    assert.match(output, /no proxy/);
  });

  test("holds steps to the build's policy", async () => {
    const policyFile = join(folder.path, "policy.json");
    const args = ["--proxy-network", "--no-cache", `--source-policy-file=${policyFile}`];
    const rules = [
      { action: "DENY", selector: { identifier: `${plain}/denied` } },
      {
        action: "CONVERT",
        selector: { identifier: `${plain}/old` },
        updates: { identifier: `${plain}/new` },
      },
    ];
    writeFileSync(policyFile, JSON.stringify({ version: 1, rules }));
    const output = await outputOf(daemon, `RUN ${fetch} ${plain}/denied 2>&1 | grep 403 && ${fetch} ${plain}/old`, {
      args,
    });
    assert.match(output, /server returned error: HTTP\/1.1 403 Forbidden/);
    assert.match(output, /this is \/new/);
    const failed = await build(daemon, `RUN ${fetch} ${plain}/denied`, { args });
    assert.notEqual(failed.code, 0);
    assert.ok(failed.output.includes(`- GET ${plain}/denied -> 403`), failed.output);
  });

  test("is trusted by a step, and leaves no trace of that", async () => {
    const archive = join(folder.path, "image.tar");
    const text = "the image's own\n";
    await outputOf(
      daemon,
      [
        `COPY bundle /${bundlePath}`,
        `RUN grep -q "buildkit proxy CA begin" /${bundlePath} && touch /done`,
        `RUN --network=none [ "$(cat /${bundlePath})" = "the image's own" ]`,
      ].join("\n"),
      { args: ["--proxy-network", `--output=type=oci,dest=${archive}`], files: { bundle: text } },
    );
    const image = mkdtempSync(join(folder.path, "image-"));
    await runOk("tar", ["-C", image, "-xf", archive]);
    const blobs = readdirSync(join(image, "blobs/sha256")).map((name) => join(image, "blobs/sha256", name));
    const listings = await Promise.all(blobs.map(async (blob) => (await run("tar", ["-tf", blob])).stdout.split("\n")));
    const [step = []] = listings.filter((names) => names.includes("done"));
    assert.ok(step.length > 0);
    assert.deepEqual(
      step.filter((name) => name.startsWith("etc")),
      [],
    );
  });

  test("makes another step of the same command", async () => {
    const lines = "RUN echo hello";
    const cached = /RUN echo hello\n#\d+ CACHED/;
    assert.doesNotMatch(await outputOf(daemon, lines), cached);
    assert.match(await outputOf(daemon, lines), cached);
    assert.doesNotMatch(await outputOf(daemon, lines, { args: [] }), cached);
    assert.match(await outputOf(daemon, lines, { args: [] }), cached);
  });

  test("gives no step the host's network that may not have it", async () => {
    const lines = `RUN --network=host ${fetch} ${plain}/host`;
    const { code, output } = await build(daemon, lines);
    assert.notEqual(code, 0);
    assert.match(output, /network\.host is not allowed/);
    assert.match(
      await outputOf(daemon, lines, { args: ["--proxy-network", "--allow=network.host"] }),
      /this is \/host/,
    );
  });
});

suite("the proxy network of a daemon with a network for steps", () => {
  const owned = ownedBySuite();
  const folder = owned.use(temporaryFolder("proxy-cni"));
  let daemon: TestDaemon;

  before(async () => {
    const config = join(folder.path, "cni.json");
    const ipam = { type: "host-local", ranges: [[{ subnet: "10.98.0.0/24" }]] };
    const bridge = { type: "bridge", bridge: "proxybr0", isDefaultGateway: true, ipam };
    writeFileSync(config, JSON.stringify({ cniVersion: "1.0.0", name: "proxied", ...bridge }));
    writeFileSync(join(folder.path, "page"), "of the host\n");
    // A network of the test's own, with a server on its loopback that no step shall reach.
    const server = join(folder.path, "server.pid");
    const httpd = `busybox httpd -f -p 127.0.0.1:8080 -h ${folder.path} & echo $! > ${server}`;
    owned.defer(() => void process.kill(Number(readFileSync(server, "utf8"))));
    daemon = owned.use(
      await TestDaemon.start(
        folder.path,
        [
          "--proxy-network",
          `--oci-cni-config-path=${config}`,
          "--oci-cni-binary-dir=/usr/lib/cni",
          "--allow-insecure-entitlement=network.host",
        ],
        ["unshare", "--net", "sh", "-c", `ip link set lo up; ${httpd}; exec "$@"`, "sh"],
      ),
    );
  });

  test("is every build's, and shows steps nothing of the host's loopback", async () => {
    const url = "http://127.0.0.1:8080/page";
    const output = await outputOf(daemon, `RUN ${fetch} ${url} 2>&1 || true`, { args: [] });
    assert.ok(output.includes(`- GET ${url} -> 502`), output);
    assert.doesNotMatch(output, /of the host/);
    const host = await outputOf(daemon, `RUN --network=host ${fetch} ${url}`, { args: ["--allow=network.host"] });
    assert.match(host, /of the host/);
  });

  test("is cleaned up with the daemon", async () => {
    const directory = join(daemon.root, "network/proxy");
    assert.notDeepEqual(readdirSync(directory), []);
    await daemon.stop();
    assert.deepEqual(readdirSync(directory), []);
  });
});
