import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { recordedAttributes } from "./recorded-attributes.ts";

suite("recordedAttributes()", () => {
  test("keeps everything but the credentials of caches", () => {
    const attributes = {
      "build-arg:TOKEN_NAME": "shown",
      "cache-imports": JSON.stringify([
        { Type: "s3", Attrs: { bucket: "b", access_key_id: "A1", secret_access_key: "A2", session_token: "A3" } },
        { Type: "gha", Attrs: { scope: "s", url_v2: "https://example.com/", token: "A4", ghtoken: "A5" } },
        { Type: "registry", Attrs: { ref: "example.com/a" } },
        { Type: "none" },
      ]),
    };
    const recorded = recordedAttributes(attributes);
    assert.equal(recorded["build-arg:TOKEN_NAME"], "shown");
    assert.deepEqual(JSON.parse(recorded["cache-imports"] ?? ""), [
      { Type: "s3", Attrs: { bucket: "b" } },
      { Type: "gha", Attrs: { scope: "s", url_v2: "https://example.com/" } },
      { Type: "registry", Attrs: { ref: "example.com/a" } },
      { Type: "none", Attrs: {} },
    ]);
  });

  for (const text of ["not JSON", "{}", "[null", '"A1"', "1"]) {
    test(`leaves out ${text}`, () => {
      assert.deepEqual(recordedAttributes({ "cache-imports": text, target: "t" }), { target: "t" });
    });
  }

  test("adds nothing", () => assert.deepEqual(recordedAttributes({ target: "t" }), { target: "t" }));
});
