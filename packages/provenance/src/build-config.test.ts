import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import { definitionFromProto, definitionToProto, image, local, scratch } from "@buildkit-ts/llb";
import { describeBuild } from "./build-config.ts";
import { goStruct } from "./go-struct.ts";

const linux = { os: "linux", architecture: "amd64" };

test("describeBuild() lists steps with their inputs, without ids of sessions, and what names the result last", () => {
  const base = image("docker.io/library/busybox:1", { platform: linux });
  const files = local("context", { sessionId: "session" });
  const done = base.run("true", {}).copy(files, { src: "/a", dest: "/b" });
  const { config } = describeBuild(done.marshal({ platform: linux }));
  assert.deepEqual(
    config.llbDefinition.map(({ id, inputs }) => [id, inputs]),
    [
      ["step0", undefined],
      ["step1", ["step0:0"]],
      ["step2", undefined],
      ["step3", ["step1:0", "step2:0"]],
      ["step4", ["step3:0"]],
    ],
  );
  assert.deepEqual(Object.values(config.digestMapping).toSorted(), ["step0", "step1", "step2", "step3", "step4"]);
  const text = JSON.stringify(config.llbDefinition);
  assert.match(text, /"Op":\{"source":\{"identifier":"docker-image:\/\/docker.io\/library\/busybox:1"/);
  assert.match(text, /"Op":\{"exec":\{"meta":\{"args":\["\/bin\/sh","-c","true"\]/);
  assert.ok(!text.includes("local.session") && !text.includes("local.unique"));
});

test("describeBuild() tells where in a file each step comes from", () => {
  const definition = definitionToProto(
    scratch().copy(image("a"), { src: "/", dest: "/" }).marshal({ platform: linux }),
  );
  const [digest = ""] = Object.keys(definition.metadata);
  definition.Source = create(opspb.SourceSchema, {
    infos: [{ filename: "Dockerfile", language: "Dockerfile", data: Buffer.from("FROM a") }],
    locations: { [digest]: { locations: [{ ranges: [{ start: { line: 1 }, end: { line: 1 } }] }] }, other: {} },
  });
  const { source, config } = describeBuild(definitionFromProto(definition));
  const step = config.digestMapping[digest] ?? "";
  assert.deepEqual(source, {
    locations: { [step]: { locations: [{ ranges: [{ start: { line: 1 }, end: { line: 1 } }] }] } },
    infos: [{ filename: "Dockerfile", language: "Dockerfile", data: Buffer.from("FROM a").toString("base64") }],
  });
});

test("goStruct() writes large numbers digit by digit, and choices as BuildKit does", () => {
  const action = create(opspb.FileActionSchema, {
    input: 0n,
    secondaryInput: -1n,
    action: { case: "mkfile", value: { path: "/a", mode: 0o644, timestamp: 1_700_000_000_123_456_789n } },
  });
  assert.equal(
    JSON.stringify(goStruct(opspb.FileActionSchema, action)),
    '{"input":0,"secondaryInput":-1,"output":0,"Action":{"mkfile":{"path":"/a","mode":420,"timestamp":1700000000123456789}}}',
  );
});
