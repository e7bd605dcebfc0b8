import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import { digestOf } from "@buildkit-ts/oci";
import { Capture } from "@buildkit-ts/provenance";
import { LlbOperation } from "../definition/llb-operation.ts";
import { captureSource } from "./capture-source.ts";
import { captureSteps } from "./capture-steps.ts";

const platform = { os: "linux", architecture: "amd64" };
const digest = digestOf("content");
const commit = "1234567890123456789012345678901234567890";

function captured(identifier: string, pin: string, attrs: Record<string, string> = {}): Capture {
  const capture = new Capture();
  captureSource(capture, { source: create(opspb.SourceOpSchema, { identifier, attrs }), pin, platform });
  return capture;
}

test("captureSource() tells each kind of source by what it was resolved to", () => {
  assert.deepEqual(captured("docker-image://docker.io/library/a:1", digest).images, [
    { ref: "docker.io/library/a:1", platform, digest, local: false },
  ]);
  assert.equal(captured(`oci-layout://a@${digest}`, digest).images[0]?.local, true);
  assert.deepEqual(captured(`docker-image+blob://docker.io/library/a@${digest}`, digest).blobs, [
    { ref: `docker.io/library/a@${digest}`, digest, local: false },
  ]);
  assert.deepEqual(captured("https://u:p@example.invalid/f", digest).http, [
    { url: "https://xxxxx:xxxxx@example.invalid/f", digest },
  ]);
  assert.deepEqual(captured("local://context", digest).locals, ["context"]);
  const git = captured("git://example.invalid/repo.git#main:dir", commit, {
    "git.fullurl": "https://u:p@example.invalid/repo.git",
    "git.authtokensecret": "GIT_AUTH_TOKEN",
    "git.mountsshsock": "default",
  });
  assert.deepEqual(git.git, [{ url: "https://xxxxx:xxxxx@example.invalid/repo.git#main", commit }]);
  assert.deepEqual(git.secrets, [{ id: "GIT_AUTH_TOKEN", optional: true }]);
  assert.deepEqual(git.ssh, [{ id: "default", optional: true }]);
});

test("captureSource() leaves the materials incomplete for what it does not know", () => {
  assert.equal(captured("ftp://example.invalid/f", digest).incompleteMaterials, true);
});

test("captureSteps() tells what processes could use, by id, and whether they had a network", () => {
  const step = (op: opspb.Op["op"]): Parameters<typeof captureSteps>[0] => {
    const operation = new LlbOperation(create(opspb.OpSchema, { op }), platform);
    const options = { ignoreCache: false, description: {}, cacheSources: [] };
    return [{ vertex: { digest, name: "step", inputs: [], options, operation }, op: undefined }];
  };
  const exec = create(opspb.ExecOpSchema, {
    network: opspb.NetMode.NONE,
    mounts: [
      { mountType: opspb.MountType.SECRET, secretOpt: { ID: "a", optional: true } },
      { mountType: opspb.MountType.SSH, SSHOpt: { ID: "" } },
    ],
    secretenv: [{ ID: "b", name: "B" }],
  });
  const closed = captureSteps(step({ case: "exec", value: exec }));
  assert.deepEqual(closed.secrets, [
    { id: "a", optional: true },
    { id: "b", optional: false },
  ]);
  assert.deepEqual(closed.ssh, [{ id: "default", optional: false }]);
  assert.equal(closed.networkAccess, false);
  const open = captureSteps(step({ case: "exec", value: create(opspb.ExecOpSchema) }));
  assert.equal(open.networkAccess, true);
  const proxied = new LlbOperation(create(opspb.OpSchema, { op: { case: "exec", value: exec } }), platform, {
    isProxied: true,
  });
  const vertex = {
    digest,
    name: "step",
    inputs: [],
    options: { ignoreCache: false, description: {}, cacheSources: [] },
  };
  const cached = captureSteps([{ vertex: { ...vertex, operation: proxied }, op: undefined }]);
  assert.equal(cached.proxyNetwork, true);
  assert.deepEqual(
    cached.proxyIncomplete.map(({ reason }) => reason),
    ["step_was_cached"],
  );
  const nested = captureSteps(step({ case: "build", value: create(opspb.BuildOpSchema) }));
  assert.equal(nested.incompleteMaterials, true);
});
