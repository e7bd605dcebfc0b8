import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { connectionFailure } from "./connection-failure.ts";

const failure = (code: string, more: object = {}): Error =>
  Object.assign(new Error(`Node's text of ${code}`), { code, ...more });

suite("connectionFailure()", () => {
  const verify = "tls: failed to verify certificate: x509:";
  for (const [what, error, text] of [
    ["a name that nobody knows", failure("ENOTFOUND"), "dial tcp: lookup host: no such host"],
    [
      "a port where nobody listens",
      failure("ECONNREFUSED", { address: "::1", port: 80 }),
      "dial tcp [::1]:80: connect: connection refused",
    ],
    ["a server that does not answer", failure("UND_ERR_CONNECT_TIMEOUT"), "dial tcp host: i/o timeout"],
    [
      "several addresses",
      new TypeError("fetch failed", {
        cause: new AggregateError([failure("ETIMEDOUT", { address: "1.2.3.4", port: 1 })]),
      }),
      "dial tcp 1.2.3.4:1: i/o timeout",
    ],
    [
      "an unknown authority",
      failure("DEPTH_ZERO_SELF_SIGNED_CERT"),
      `${verify} certificate signed by unknown authority`,
    ],
    ["an old certificate", failure("CERT_HAS_EXPIRED"), `${verify} certificate has expired or is not yet valid`],
    [
      "a certificate of somebody else",
      failure("ERR_TLS_CERT_ALTNAME_INVALID", { cert: { subjectaltname: "DNS:a.example, IP Address:1.2.3.4" } }),
      `${verify} certificate is valid for a.example, 1.2.3.4, not host`,
    ],
    [
      "a certificate without names",
      failure("ERR_TLS_CERT_ALTNAME_INVALID", { cert: {} }),
      `${verify} certificate is not valid for any names, but wanted to match host`,
    ],
    ["anything else", failure("EPIPE"), "Node's text of EPIPE"],
    ["no error", "text", "text"],
  ] as const)
    test(`of ${what}`, () => {
      assert.equal(connectionFailure(error, "host:443"), text);
    });
});
