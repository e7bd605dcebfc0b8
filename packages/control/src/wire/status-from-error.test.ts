import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import { SourceError } from "@buildkit-ts/errdefs";
import { errorFromStatus } from "./error-from-status.ts";
import { statusFromError } from "./status-from-error.ts";

test("a place in a file is sent as Go reads it, and read back with the graph that the file is from", () => {
  const definition = create(opspb.DefinitionSchema, {
    def: [Buffer.from("op")],
    metadata: { "sha256:aa": { ignoreCache: true, description: { "llb.customname": "load" } } },
  });
  const source = {
    filename: "Dockerfile",
    language: "Dockerfile",
    data: Buffer.from("FROM x\n"),
    definition: toBinary(opspb.DefinitionSchema, definition),
  };
  const ranges = [{ start: { line: 1, character: 0 }, end: { line: 1, character: 4 } }];
  const status = statusFromError(new SourceError("no x", { code: "not_found", source, ranges }));
  const [detail] = status.details;
  assert.equal(detail?.typeUrl, "github.com/moby/buildkit/errdefs.Source+json");
  const json = JSON.parse(Buffer.from(detail.value).toString());
  assert.deepEqual(json.info.definition, {
    def: ["b3A="],
    metadata: { "sha256:aa": { ignore_cache: true, description: { "llb.customname": "load" } } },
  });
  const back = errorFromStatus(status);
  assert.ok(back instanceof SourceError);
  assert.deepEqual([back.code, back.message, back.ranges], ["not_found", "no x", ranges]);
  assert.equal(back.source?.filename, "Dockerfile");
  assert.deepEqual(Buffer.from(back.source.definition ?? []), Buffer.from(source.definition));
});
