import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { CertificateAuthority } from "./support/certificates.ts";
import { TestDaemon } from "./support/daemon.ts";
import { freePort, temporaryFolder } from "./support/processes.ts";
import { TestRegistry } from "./support/registry.ts";

// bcrypt of "pass".
const htpasswd = "user:$2y$05$abcdefghijklmnopqrstuuZFBUbfXoM8LFiPx8LYlO/sXZB/Cwk3K\n";

suite("buildctl debug registry", () => {
  const folder = temporaryFolder("check-registry");
  const stack = new AsyncDisposableStack();
  let daemon: TestDaemon;
  let plain: TestRegistry;
  let trusted: TestRegistry;
  let untrusted: TestRegistry;
  let mutual: TestRegistry;
  let locked: TestRegistry;
  let closed: string;
  const docker = join(folder.path, "docker");

  before(async () => {
    const authority = await CertificateAuthority.make(folder.path, "authority");
    const server = await authority.sign("server", ["DNS:localhost"]);
    const client = await authority.sign("client");
    writeFileSync(join(folder.path, "htpasswd"), htpasswd);
    const start = async (name: string, options: object): Promise<TestRegistry> =>
      stack.use(await TestRegistry.start(folder.path, { name, ...options }));
    plain = await start("plain", {});
    trusted = await start("trusted", { tls: server });
    untrusted = await start("untrusted", { tls: server });
    mutual = await start("mutual", { tls: { ...server, ca: authority.cert } });
    locked = await start("locked", { htpasswd: join(folder.path, "htpasswd") });
    closed = `localhost:${await freePort()}`;
    const table = (host: string, ...lines: readonly string[]): string => `[registry."${host}"]\n${lines.join("\n")}\n`;
    const ca = `ca = ["${authority.cert}"]`;
    const config = join(folder.path, "buildkitd.toml");
    writeFileSync(
      config,
      [
        table("mirrored.invalid", `mirrors = ["${plain.host}", "${trusted.host}/below/a/path"]`),
        table(trusted.host, ca),
        table(untrusted.host, "http = false"),
        table(mutual.host, ca),
        `[[registry."${mutual.host}".keypair]]\ncert = "${client.cert}"\nkey = "${client.key}"\n`,
      ].join(""),
    );
    mkdirSync(docker);
    daemon = stack.use(await TestDaemon.start(folder.path, ["--config", config]));
  });

  after(async () => {
    await stack.disposeAsync();
    folder[Symbol.dispose]();
  });

  const check = async (host: string): Promise<{ readonly code: number | null; readonly output: string }> => {
    const result = await daemon.buildctl(["debug", "registry", host], { env: { DOCKER_CONFIG: docker } });
    return { code: result.code, output: result.output };
  };

  test("tells what is used for a registry that is reached", async () => {
    const { code, output } = await check(plain.host);
    assert.equal(code, 0, output);
    assert.match(output, new RegExp(`Configuration: ${join(folder.path, "buildkitd.toml")}`));
    assert.match(output, /TLS, or plain HTTP where the server has no TLS/);
    assert.match(output, /FAIL GET https:.*the server does not speak TLS/);
    assert.match(output, /ok {3}GET http:\/\/localhost:\d+\/v2\/: 200 OK/);
    assert.match(output, /Credentials: none/);
    for (const host of [trusted.host, mutual.host]) assert.equal((await check(host)).code, 0);
  });

  test("names the line of the configuration that is missing", async () => {
    const foreign = await check(untrusted.host);
    assert.equal(foreign.code, 1);
    assert.match(foreign.output, /signed by nobody who is trusted/);
    assert.ok(foreign.output.includes(`Add ca = ["/path/to/ca.pem"] to [registry."${untrusted.host}"].`));
    const refused = await check(closed);
    assert.match(refused.output, /Nobody listens there/);
    assert.match((await check("nowhere.invalid")).output, /FAIL resolve the name/);
  });

  test("tries mirrors in their order, below their paths", async () => {
    const { code, output } = await check("mirrored.invalid");
    assert.equal(code, 1);
    const urls = [...output.matchAll(/^\d\. (\S+) \(([a-z ,]+)\)/gm)].map(([, url, role]) => [url, role]);
    assert.deepEqual(urls, [
      [`https://${plain.host}/v2/`, "mirror, read first"],
      [`https://${trusted.host}/v2/below/a/path/`, "mirror, read first"],
      ["https://mirrored.invalid/v2/", "the registry"],
    ]);
    assert.match(output, /asked for the content of mirrored\.invalid/);
  });

  test("signs in as the client, and says when that does not work", async () => {
    const anonymous = await check(locked.host);
    assert.equal(anonymous.code, 1);
    assert.match(anonymous.output, /FAIL sign in: the server wants basic, and there are no credentials/);
    const logIn = (password: string): void => {
      const auth = Buffer.from(`user:${password}`).toString("base64");
      writeFileSync(join(docker, "config.json"), JSON.stringify({ auths: { [locked.host]: { auth } } }));
    };
    logIn("wrong");
    const wrong = await check(locked.host);
    assert.equal(wrong.code, 1);
    assert.match(wrong.output, /with credentials: 401 Unauthorized/);
    logIn("pass");
    const right = await check(locked.host);
    assert.equal(right.code, 0, right.output);
    assert.match(right.output, /Credentials: user/);
    assert.equal(right.output.includes("pass"), false);
  });

  test("refuses what is no host", async () => {
    assert.match((await check("host/../path")).output, /not a host/);
  });
});
