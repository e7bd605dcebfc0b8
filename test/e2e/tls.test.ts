import assert from "node:assert/strict";
import { once } from "node:events";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { before, suite, test } from "node:test";
import { parseReference } from "@buildkit-ts/oci";
import { anonymousCredentials, RegistryClient } from "@buildkit-ts/registry";
import { CertificateAuthority, type KeyPair } from "./support/certificates.ts";
import { TestDaemon } from "./support/daemon.ts";
import { ownedBySuite } from "./support/owned-by-suite.ts";
import { freePort, type RunResult, run, temporaryFolder } from "./support/processes.ts";
import { TestRegistry } from "./support/registry.ts";

suite("a daemon behind TLS", () => {
  const owned = ownedBySuite();
  const folder = owned.use(temporaryFolder("tls"));
  let authority: CertificateAuthority;
  let stranger: CertificateAuthority;
  let client: KeyPair;
  let daemon: TestDaemon;
  let address: string;
  let context: string;

  before(async () => {
    authority = await CertificateAuthority.make(folder.path, "authority");
    stranger = await CertificateAuthority.make(folder.path, "stranger");
    const server = await authority.sign("server", ["DNS:builder.example", "IP:127.0.0.1"]);
    client = await authority.sign("client");
    address = `tcp://127.0.0.1:${await freePort()}`;
    const tls = [`--tlscert=${server.cert}`, `--tlskey=${server.key}`, `--tlscacert=${authority.cert}`];
    daemon = owned.use(await TestDaemon.start(folder.path, ["--addr", address, ...tls]));
    context = join(folder.path, "context");
    mkdirSync(context);
    writeFileSync(join(context, "Dockerfile"), "FROM scratch\nCOPY file /\n");
    writeFileSync(join(context, "file"), Buffer.alloc(3 << 20, "x"));
  });

  const buildctl = async (flags: readonly string[], ...args: readonly string[]): Promise<RunResult> =>
    await daemon.buildctl([`--addr=${address}`, ...flags, ...args]);
  const files = ({ cert, key }: KeyPair, ca = authority.cert): string[] => [
    `--tlscacert=${ca}`,
    `--tlscert=${cert}`,
    `--tlskey=${key}`,
  ];
  const build = ["build", "--frontend=dockerfile.v0", "--progress=plain"];

  test("builds for our client with a certificate", async () => {
    const local = [`--local=context=${context}`, `--local=dockerfile=${context}`];
    const result = await buildctl(files(client), ...build, ...local);
    assert.equal(result.code, 0, result.output);
  });

  test("takes the files from a directory, by either set of names", async () => {
    for (const [ca, cert, key] of [
      ["ca.pem", "cert.pem", "key.pem"],
      ["ca.crt", "tls.crt", "tls.key"],
    ] as const) {
      const directory = join(folder.path, ca);
      mkdirSync(directory);
      copyFileSync(authority.cert, join(directory, ca));
      copyFileSync(client.cert, join(directory, cert));
      copyFileSync(client.key, join(directory, key));
      const result = await buildctl([`--tlsdir=${directory}`], "debug", "workers");
      assert.equal(result.code, 0, result.output);
    }
    const both = await buildctl([`--tlsdir=${folder.path}`, `--tlscert=${client.cert}`], "debug", "workers");
    assert.match(both.output, /cannot specify tlsdir and tlscacert\/tlscert\/tlskey at the same time/);
  });

  test("builds for docker buildx with a certificate", async () => {
    const env = { BUILDX_CONFIG: join(folder.path, "buildx-tls"), DOCKER_CONFIG: join(folder.path, "docker") };
    const options = ["cacert", "cert", "key"].map((name, index) => {
      const path = [authority.cert, client.cert, client.key][index] ?? "";
      return `--driver-opt=${name}=${path}`;
    });
    const create = ["create", "--name=tls", "--driver=remote", ...options, "--driver-opt=servername=builder.example"];
    const created = await run("docker-buildx", [...create, address], { env });
    assert.equal(created.code, 0, created.output);
    const args = [
      "build",
      "--builder=tls",
      "--provenance=false",
      "--progress=plain",
      "--output=type=cacheonly",
      context,
    ];
    const built = await run("docker-buildx", args, { env });
    assert.equal(built.code, 0, built.output);
  });

  test("checks the server's name", async () => {
    const named = await buildctl([...files(client), "--tlsservername=builder.example"], "debug", "workers");
    assert.equal(named.code, 0, named.output);
    const other = await buildctl([...files(client), "--tlsservername=other.example"], "debug", "workers");
    assert.notEqual(other.code, 0);
    assert.match(other.output, /other\.example/);
  });

  test("refuses clients without a certificate, with a stranger's, and without TLS", async () => {
    const foreign = await stranger.sign("foreign");
    for (const flags of [[`--tlscacert=${authority.cert}`], files(foreign), []]) {
      const result = await buildctl([...flags, "--timeout=3"], "debug", "workers");
      assert.notEqual(result.code, 0, result.output);
      assert.doesNotMatch(result.output, /linux\/amd64/);
    }
    // None of them has done any harm.
    assert.equal((await buildctl(files(client), "debug", "workers")).code, 0);
  });

  test("is refused by clients that do not trust it", async () => {
    const result = await buildctl(files(client, stranger.cert), "debug", "workers");
    assert.notEqual(result.code, 0);
    assert.match(result.output, /certificate/);
  });

  test("does not start with half of its files", async () => {
    const other = join(folder.path, "other");
    mkdirSync(other);
    const starting = TestDaemon.start(other, [`--tlscert=${client.cert}`]);
    await assert.rejects(starting, /you must specify key and cert file if one is specified/);
  });
});

test("registries are vouched for by whom the machine trusts", async () => {
  using folder = temporaryFolder("machine-trust");
  const authority = await CertificateAuthority.make(folder.path, "company");
  const tls = await authority.sign("registry", ["DNS:localhost"]);
  await using registry = await TestRegistry.start(folder.path, { tls });
  for (const [trusted, code] of [
    [authority.cert, 0],
    ["/nonexistent", 1],
  ] as const) {
    const launcher = ["env", `SSL_CERT_FILE=${trusted}`, "SSL_CERT_DIR=/nonexistent"];
    await using daemon = await TestDaemon.start(folder.path, [], launcher);
    const { output, ...result } = await daemon.buildctl(["debug", "registry", registry.host]);
    assert.equal(result.code, code, output);
  }
});

test("a registry whose TLS was interrupted once is not taken for one without", async () => {
  using folder = temporaryFolder("interrupted-tls");
  const authority = await CertificateAuthority.make(folder.path, "company");
  const tls = await authority.sign("registry", ["DNS:localhost"]);
  await using registry = await TestRegistry.start(folder.path, { tls });
  const target = Number(registry.host.split(":")[1]);
  let connections = 0;
  const proxy = createServer((socket) => {
    socket.on("error", () => undefined);
    connections += 1;
    if (connections === 1) {
      socket.resetAndDestroy();
      return;
    }
    const forward = connect(target, "localhost");
    forward.on("error", () => socket.destroy());
    socket.pipe(forward).pipe(socket);
  }).listen(0, "localhost");
  await once(proxy, "listening");
  const address = proxy.address();
  assert.ok(typeof address === "object" && address !== null);
  const host = `localhost:${address.port}`;
  {
    await using client = new RegistryClient({ config: { [host]: { ca: [authority.cert] } } });
    const options = { signal: AbortSignal.timeout(20_000), credentials: anonymousCredentials };
    await assert.rejects(client.resolve(parseReference(`${host}/none:v1`), options), { code: "not_found" });
  }
  proxy.close();
  assert.ok(connections > 1);
});
