import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { opspb, policypb } from "@buildkit-ts/api";
import { PolicyRules } from "./policy-rules.ts";

const { ALLOW, DENY, CONVERT } = policypb.PolicyAction;
const { EXACT, REGEX, WILDCARD } = policypb.MatchType;

function rulesOf(...policies: readonly MessageInitShape<typeof policypb.RuleSchema>[][]): PolicyRules {
  return new PolicyRules(policies.map((rules) => create(policypb.PolicySchema, { version: 1n, rules })));
}

function sourceOf(identifier: string, attrs: Record<string, string> = {}): opspb.SourceOp {
  return create(opspb.SourceOpSchema, { identifier, attrs });
}

const golang = "docker-image://docker.io/library/golang:1.19";

suite("PolicyRules.evaluate()", () => {
  test("lets the last rule decide that allows or denies", () => {
    const deny = { action: DENY, selector: { identifier: "docker-image://*" } };
    const allow = { action: ALLOW, selector: { identifier: golang } };
    assert.equal(rulesOf([deny, allow]).evaluate(sourceOf(golang)), false);
    assert.throws(() => rulesOf([allow, deny]).evaluate(sourceOf(golang)), {
      code: "permission_denied",
      message: `source "${golang}" denied by policy: source denied by policy`,
    });
  });

  test("denies what any of several policies denies", () => {
    const deny = { action: DENY, selector: { identifier: golang } };
    assert.throws(() => rulesOf([{ action: ALLOW, selector: { identifier: "*" } }], [deny]).evaluate(sourceOf(golang)));
  });

  const conversions = [
    [
      WILDCARD,
      "docker-image://docker.io/library/*:*",
      "docker-image://mirror/${1}:$2-alpine",
      "docker-image://mirror/golang:1.19-alpine",
    ],
    [REGEX, "docker\\.io/(?P<name>[a-z/]+)", "mirror/${name}", "docker-image://mirror/library/golang:1.19"],
    [REGEX, "golang", "$$1", "docker-image://docker.io/library/$1:1.19"],
    [EXACT, golang, `${golang}@$1`, `${golang}@$1`],
  ] as const;
  for (const [matchType, identifier, update, expected] of conversions) {
    test(`changes ${identifier} to ${update} as Go does`, () => {
      const source = sourceOf(golang);
      // Once only: what it makes may match again.
      const once = { constraints: [{ key: "seen", value: "" }] };
      const updates = { identifier: update, attrs: { seen: "1" } };
      assert.ok(rulesOf([{ action: CONVERT, selector: { identifier, matchType, ...once }, updates }]).evaluate(source));
      assert.equal(source.identifier, expected);
    });
  }

  test("adds attributes, and evaluates what it changed anew", () => {
    const source = sourceOf("https://example.com/file");
    const pin = { identifier: source.identifier, attrs: { "http.checksum": "sha256:x" } };
    const rules = [
      { action: DENY, selector: { identifier: "*", constraints: [{ key: "http.checksum", value: "" }] } },
      { action: CONVERT, selector: { identifier: source.identifier }, updates: pin },
    ];
    assert.equal(rulesOf(rules).evaluate(source), true);
    assert.deepEqual({ ...source.attrs }, pin.attrs);
  });

  test("compares attributes by equality, inequality and pattern", () => {
    const { EQUAL, NOTEQUAL, MATCHES } = policypb.AttrMatch;
    const denies = (condition: policypb.AttrMatch, value: string): boolean => {
      const selector = { identifier: "*", constraints: [{ key: "k", value, condition }] };
      try {
        rulesOf([{ action: DENY, selector }]).evaluate(sourceOf("x", { k: "value" }));
        return false;
      } catch {
        return true;
      }
    };
    assert.deepEqual(
      [denies(EQUAL, "value"), denies(EQUAL, "other"), denies(NOTEQUAL, "other"), denies(MATCHES, "^va")],
      [true, false, true, true],
    );
  });

  test("ends rules that go in circles", () => {
    const swap = (from: string, to: string) => ({
      action: CONVERT,
      selector: { identifier: from },
      updates: { identifier: to },
    });
    assert.throws(() => rulesOf([swap("a", "b"), swap("b", "a")]).evaluate(sourceOf("a")), /too many operations/);
  });

  test("takes no longer for a pattern that is made to be slow", () => {
    const selector = { identifier: "^(a+)+$", matchType: REGEX };
    const started = performance.now();
    rulesOf([{ action: DENY, selector }]).evaluate(sourceOf(`${"a".repeat(5000)}!`));
    assert.ok(performance.now() - started < 1000);
  });

  test("refuses rules that are none", () => {
    assert.throws(() => rulesOf([{ action: DENY }]), /invalid nil selector in policy/);
    const selector = { identifier: "a" };
    assert.throws(() => rulesOf([{ action: 9000 as never, selector }]).evaluate(sourceOf("a")), /unknown type/);
    assert.throws(
      () => rulesOf([{ action: CONVERT, selector }]).evaluate(sourceOf("a")),
      /missing destination for convert rule/,
    );
    assert.throws(
      () => rulesOf([{ action: DENY, selector: { identifier: "(", matchType: REGEX } }]).evaluate(sourceOf("a")),
      /invalid regex/,
    );
  });
});
