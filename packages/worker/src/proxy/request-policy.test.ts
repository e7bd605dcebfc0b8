import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { opspb } from "@buildkit-ts/api";
import { evaluateSourceKey, requestCheck } from "./request-policy.ts";

type Evaluate = (source: opspb.SourceOp) => void;
const signal = new AbortController().signal;

/** What becomes of a request, if the builds that wait for the step have these policies. */
async function checked(policies: readonly Evaluate[], url = "http://a.invalid/x", method = "GET"): Promise<unknown> {
  const evaluate = policies.map((policy) => async (op: opspb.Op) => {
    assert.ok(op.op.case === "source");
    policy(op.op.value);
    return await Promise.resolve(false);
  });
  const values = (key: string): readonly unknown[] => (key === evaluateSourceKey ? [undefined, ...evaluate] : []);
  return await requestCheck({ values })({ method, url }, { signal });
}

const to =
  (identifier: string): Evaluate =>
  (source) => {
    source.identifier = identifier;
  };
const deny: Evaluate = () => {
  throw new Error("denied");
};

suite("requestCheck()", () => {
  test("lets a request be made that no policy is against", async () => {
    assert.equal(await checked([]), undefined);
    const asked: string[] = [];
    assert.equal(await checked([({ identifier }) => void asked.push(identifier)]), undefined);
    assert.deepEqual(asked, ["http://a.invalid/x"]);
  });

  test("needs every build that waits for the step to allow it", async () => {
    await assert.rejects(checked([() => undefined, deny]), /denied/);
    await assert.rejects(checked([deny, () => undefined]), /denied/);
  });

  test("converts a URL, and shows the next build's policy what it has become", async () => {
    assert.equal(await checked([to("https://b.invalid/y")]), "https://b.invalid/y");
    const seen: string[] = [];
    await checked([to("https://b.invalid/y"), ({ identifier }) => void seen.push(identifier)]);
    assert.deepEqual(seen, ["https://b.invalid/y"]);
  });

  test("refuses conversions that a request cannot follow", async () => {
    await assert.rejects(checked([to("https://b.invalid/y")], "http://a.invalid/x", "POST"), /only supported for GET/);
    for (const url of ["docker-image://b", "file:///etc/passwd", "nothing"]) {
      await assert.rejects(checked([to(url)]), /not one of HTTP/, url);
    }
    const withAttributes: Evaluate = (source) => {
      source.attrs = { "http.checksum": "sha256:0" };
    };
    await assert.rejects(checked([withAttributes]), /only supports URL updates/);
  });
});
