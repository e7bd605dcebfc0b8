import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { parseS3Config } from "./s3-config.ts";

const place = { bucket: "b", region: "r" };

suite("parseS3Config()", () => {
  test("takes what clients leave out from the environment, or from BuildKit's defaults", () => {
    const config = parseS3Config({}, { AWS_BUCKET: "bucket", AWS_REGION: "region" });
    assert.deepEqual(config, {
      bucket: "bucket",
      region: "region",
      blobsPrefix: "blobs/",
      manifestsPrefix: "manifests/",
      names: ["buildkit"],
      touchRefreshMs: 86_400_000,
      parallelism: 4,
      endpointUrl: "",
      usePathStyle: false,
      credentials: undefined,
      retryMode: undefined,
      maxAttempts: undefined,
    });
  });

  test("puts the prefix before both other ones, and reads all attributes", () => {
    const attributes = {
      prefix: "p/",
      blobs_prefix: "b-",
      manifests_prefix: "m-",
      name: "one;two",
      touch_refresh: "36h",
      upload_parallelism: "9",
      use_path_style: "1",
      access_key_id: "id",
      secret_access_key: "secret",
      session_token: "token",
      retry_mode: "adaptive",
      retry_max_attempts: "7",
    };
    const config = parseS3Config({ ...place, ...attributes }, { AWS_BUCKET: "other" });
    assert.equal(config.bucket, "b");
    assert.equal(`${config.blobsPrefix} ${config.manifestsPrefix}`, "p/b- p/m-");
    assert.deepEqual(config.names, ["one", "two"]);
    assert.equal(config.touchRefreshMs, 36 * 3_600_000);
    assert.deepEqual(config.credentials, { accessKeyId: "id", secretAccessKey: "secret", sessionToken: "token" });
    assert.deepEqual(
      [config.parallelism, config.usePathStyle, config.retryMode, config.maxAttempts],
      [9, true, "adaptive", 7],
    );
  });

  for (const [attributes, message] of [
    [{}, "bucket ($AWS_BUCKET) not set for s3 cache"],
    [{ bucket: "b" }, "region ($AWS_REGION) not set for s3 cache"],
    [{ ...place, upload_parallelism: "0" }, "upload_parallelism must be a positive integer"],
    [{ ...place, retry_max_attempts: "many" }, "retry_max_attempts must be a positive integer"],
    [{ ...place, retry_mode: "legacy" }, 'retry_mode must be "standard" or "adaptive"'],
  ] as const) {
    test(`refuses ${JSON.stringify(attributes)}`, () => {
      assert.throws(() => parseS3Config(attributes, {}), { code: "invalid_argument", message });
    });
  }
});
