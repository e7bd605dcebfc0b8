import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { digestOf } from "@buildkit-ts/oci";
import { Capture, createPredicate, describeRequest, isSameRequest, type Materials, toPredicateV02 } from "./index.ts";

const linux = { os: "linux", architecture: "amd64" };
const commit = "1234567890123456789012345678901234567890";
const options = {
  "build-arg:TOKEN": "hidden",
  "build-arg:BUILDKIT_ATTEST_SBOM": "",
  "label:l": "v",
  "attest:provenance": "mode=max",
  platform: "linux/amd64",
  filename: "sub/Dockerfile",
  context: "https://u:p@example.invalid/repo.git#main:dir",
  "context:other": "https://u:p@example.invalid/other",
  target: "final",
  "vcs:source": "https://u:p@example.invalid/repo.git",
  "vcs:revision": commit,
};

function capture(): Capture {
  const made = new Capture();
  made.addImage({ ref: "docker.io/library/b:1", platform: linux, digest: digestOf("b"), local: false });
  made.addImage({ ref: "docker.io/library/a:1", platform: linux, digest: digestOf("a"), local: false });
  made.addImage({ ref: "docker.io/library/a:1", platform: { ...linux }, digest: digestOf("a"), local: false });
  made.addImage({
    ref: `docker.io/library/a:1@${digestOf("a")}`,
    platform: linux,
    digest: digestOf("a"),
    local: false,
  });
  made.addGit({ url: "https://u:p@example.invalid/repo.git#main", commit });
  made.addSecret({ id: "s", optional: true });
  made.addSecret({ id: "s", optional: false });
  made.addSsh({ id: "", optional: true });
  return made;
}

function request(materials: Materials): ReturnType<typeof describeRequest> {
  const contextFormat = (context: string) =>
    context.includes(".git")
      ? { repository: context.slice(0, context.lastIndexOf(":")), withDirectory: context }
      : undefined;
  return describeRequest("dockerfile.v0", options, { materials: () => materials, contextFormat });
}

function predicate(mode: "min" | "max", made: Capture = capture()): ReturnType<typeof createPredicate> {
  return createPredicate({
    capture: made,
    ...request(made),
    mode,
    builderId: "https://example.invalid/builder",
    reproducible: true,
    invocationId: "id",
    startedAt: 0,
    finishedAt: 1500,
    dockerfileVersion: "1.2.3",
    environment: { zone: "z", account: 1 },
    compatibilityVersion: 30,
  });
}

suite("createPredicate()", () => {
  test("says that steps reached the network by proxies, and what is not known of that", () => {
    const made = capture();
    assert.equal(predicate("min", made).runDetails.metadata.buildkit_metadata.network, undefined);
    made.proxyNetwork = true;
    const known = predicate("min", made).runDetails.metadata;
    assert.deepEqual(known.buildkit_metadata.network, { mode: "proxy" });
    assert.equal(known.buildkit_completeness.resolvedDependencies, true);
    const step = { op: digestOf("step"), name: "wget" };
    made.addProxyIncomplete({ ...step, method: "POST", uri: "https://u:p@x.invalid/", reason: "upstream_error" });
    made.addProxyIncomplete({ ...step, method: "", uri: "", reason: "proxy_failed" });
    const incomplete = predicate("min", made).runDetails.metadata;
    assert.deepEqual(incomplete.buildkit_metadata.network?.proxy?.incomplete, [
      { ...step, reason: "proxy_failed" },
      { ...step, method: "POST", uri: "https://xxxxx:xxxxx@x.invalid/", reason: "upstream_error" },
    ]);
    assert.equal(incomplete.buildkit_completeness.resolvedDependencies, false);
  });

  test("names each material once, with its digest, without passwords", () => {
    assert.deepEqual(predicate("max").buildDefinition.resolvedDependencies, [
      { uri: "pkg:docker/a@1?platform=linux%2Famd64", digest: { sha256: digestOf("a").slice(7) } },
      { uri: "pkg:docker/b@1?platform=linux%2Famd64", digest: { sha256: digestOf("b").slice(7) } },
      { uri: "https://xxxxx:xxxxx@example.invalid/repo.git#main", digest: { sha1: commit } },
    ]);
  });

  test("tells the request, where it came from, and what could be used, by id", () => {
    const { externalParameters, internalParameters } = predicate("max").buildDefinition;
    assert.deepEqual(externalParameters, {
      configSource: {
        uri: "https://xxxxx:xxxxx@example.invalid/repo.git#main:dir",
        digest: { sha1: commit },
        path: "sub/Dockerfile",
      },
      request: {
        frontend: "dockerfile.v0",
        args: {
          "build-arg:TOKEN": "hidden",
          "context:other": "https://xxxxx:xxxxx@example.invalid/other",
          "label:l": "v",
          target: "final",
        },
        secrets: [{ id: "s" }],
        ssh: [{ id: "default", optional: true }],
        compatibilityVersion: 30,
      },
    });
    assert.deepEqual(Object.keys(internalParameters), ["account", "builderPlatform", "dockerfileVersion", "zone"]);
  });

  test("keeps build arguments, labels and ids to itself in mode min, and says that they are missing", () => {
    const { buildDefinition, runDetails } = predicate("min");
    const { args, secrets, ssh } = buildDefinition.externalParameters.request;
    assert.deepEqual(Object.keys(args ?? {}), ["context:other", "target"]);
    assert.deepEqual([secrets, ssh], [undefined, undefined]);
    assert.deepEqual(runDetails.metadata.buildkit_completeness, { request: false, resolvedDependencies: true });
  });

  test("is hermetic only without network, and complete only without the client's directories", () => {
    const open = capture();
    assert.equal(predicate("max", open).runDetails.metadata.buildkit_hermetic, true);
    open.networkAccess = true;
    assert.equal(predicate("max", open).runDetails.metadata.buildkit_hermetic, undefined);
    const local = capture();
    local.addLocal("context");
    const { buildDefinition, runDetails } = predicate("max", local);
    assert.deepEqual(buildDefinition.externalParameters.request.locals, [{ name: "context" }]);
    assert.equal(runDetails.metadata.buildkit_completeness.resolvedDependencies, false);
    assert.equal(runDetails.metadata.buildkit_hermetic, undefined);
  });

  test("has the revision apart from the arguments, and times in RFC 3339", () => {
    const { metadata } = predicate("max").runDetails;
    assert.deepEqual(metadata.buildkit_metadata.vcs, {
      source: "https://xxxxx:xxxxx@example.invalid/repo.git",
      revision: commit,
    });
    assert.deepEqual([metadata.startedOn, metadata.finishedOn], ["1970-01-01T00:00:00Z", "1970-01-01T00:00:01.5Z"]);
  });
});

test("toPredicateV02() says the same in the older version's members", () => {
  const old = toPredicateV02(predicate("max"));
  assert.equal(old.buildType, "https://mobyproject.org/buildkit@v1");
  assert.equal(old.materials?.length, 3);
  assert.equal(old.invocation.configSource.entryPoint, "sub/Dockerfile");
  assert.deepEqual(Object.keys(old.invocation.environment), ["account", "dockerfileVersion", "platform", "zone"]);
  assert.equal(old.metadata.reproducible, true);
  assert.equal(old.metadata["https://mobyproject.org/buildkit@v1#hermetic"], true);
});

test("isSameRequest() does not look at the order of members", () => {
  const one = { configSource: {}, request: { frontend: "f", args: { a: "1", b: "2" } } };
  assert.ok(isSameRequest(one, { request: { args: { b: "2", a: "1" }, frontend: "f" }, configSource: {} }));
  assert.ok(!isSameRequest(one, { ...one, request: { frontend: "f", args: { a: "1" } } }));
});
