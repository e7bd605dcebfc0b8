import assert from "node:assert/strict";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, isIP } from "node:net";
import { suite, test } from "node:test";
import { connect, createServer } from "node:tls";
import { systemClock } from "@buildkit-ts/async";
import { CertificateAuthority } from "./certificate-authority.ts";

const signal = new AbortController().signal;

suite("CertificateAuthority", () => {
  test("identify() makes certificates for names and addresses that its own certificate vouches for", async () => {
    await using authority = await CertificateAuthority.create(systemClock, { signal });
    const own = new X509Certificate(authority.certificate);
    assert.equal(own.ca, true);
    assert.equal(own.verify(own.publicKey), true);
    for (const host of ["example.com", "192.0.2.7", "2001:db8::7", `${"a".repeat(60)}.${"b".repeat(60)}.invalid`]) {
      const { certificate, key } = await authority.identify(host);
      const parsed = new X509Certificate(certificate);
      assert.equal(parsed.checkIssued(own), true, host);
      assert.equal(parsed.verify(own.publicKey), true, host);
      assert.equal(parsed.ca, false);
      assert.equal(parsed.checkPrivateKey(createPrivateKey(key)), true);
      assert.equal(isIP(host) === 0 ? parsed.checkHost(host) : parsed.checkIP(host), host);
      assert.equal(parsed.checkHost("other.invalid"), undefined);
    }
  });

  test("identify() gives what a TLS client that trusts the authority accepts", async () => {
    await using authority = await CertificateAuthority.create(systemClock, { signal });
    const { certificate, key } = await authority.identify("host.invalid");
    const server = createServer({ cert: certificate, key }, (socket) => socket.end("hello"));
    using _closing = { [Symbol.dispose]: () => void server.close() };
    await once(server.listen(0, "127.0.0.1"), "listening");
    const { port } = server.address() as AddressInfo;
    const options = { host: "127.0.0.1", port, servername: "host.invalid" };
    const trusting = connect({ ...options, ca: authority.certificate });
    assert.equal(String((await once(trusting, "data"))[0]), "hello");
    await assert.rejects(once(connect(options), "secureConnect"), /certificate/);
  });

  test("identify() keeps a certificate for the next who asks, until it gets old", async () => {
    let passedMs = 0;
    const clock = { ...systemClock, now: () => Date.now() + passedMs };
    await using authority = await CertificateAuthority.create(clock, { signal });
    const first = await authority.identify("example.com");
    assert.deepEqual(await authority.identify("example.com"), first);
    passedMs = 23 * 3_600_000;
    const second = await authority.identify("example.com");
    assert.notEqual(second.certificate, first.certificate);
    assert.ok(new X509Certificate(second.certificate).validToDate.getTime() > clock.now() + 23 * 3_600_000);
  });

  test("identify() does not keep that it failed", async () => {
    let now = Date.now();
    await using authority = await CertificateAuthority.create({ ...systemClock, now: () => now }, { signal });
    now = 1e18;
    await assert.rejects(authority.identify("example.com"));
    now = Date.now();
    assert.equal(new X509Certificate((await authority.identify("example.com")).certificate).ca, false);
  });
});
