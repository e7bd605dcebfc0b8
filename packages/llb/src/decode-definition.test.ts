import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import { BuildError } from "@buildkit-ts/errdefs";
import { digestOf } from "@buildkit-ts/oci";
import * as fc from "fast-check";
import { type Definition, decodeDefinition, image, mkdir, scratch } from "./index.ts";

function definition(...def: Uint8Array[]): Definition {
  return { def, metadata: new Map(), source: undefined };
}
type OpInit = Parameters<typeof create<typeof opspb.OpSchema>>[1];
const bytesOf = (init: OpInit): Uint8Array => toBinary(opspb.OpSchema, create(opspb.OpSchema, init));
const sourceBytes = bytesOf({ op: { case: "source", value: { identifier: "docker-image://x" } } });
const inputOf = (bytes: Uint8Array, index = 0n): { digest: string; index: bigint } => ({
  digest: digestOf(bytes),
  index,
});

function fails(value: Definition, message: string | RegExp): void {
  assert.throws(
    () => decodeDefinition(value),
    (error: unknown) => {
      assert.ok(error instanceof BuildError);
      assert.equal(error.code, "invalid_argument");
      if (typeof message === "string") assert.equal(error.message, message);
      else assert.match(error.message, message);
      return true;
    },
  );
}
const withOp = (init: OpInit): Definition => {
  const op = bytesOf(init);
  return definition(sourceBytes, op, bytesOf({ inputs: [inputOf(op)] }));
};

suite("decodeDefinition()", () => {
  test("rejects definitions that are no graph, with BuildKit's texts", () => {
    fails(definition(), "invalid empty definition");
    fails(definition(sourceBytes), "invalid LLB with 1 vertexes");
    fails(definition(bytesOf({}), sourceBytes), "invalid LLB with no inputs on last vertex");
    fails(definition(sourceBytes, Buffer.from([0xff])), "failed to parse llb proto op");
    const missing = digestOf("nothing");
    const terminal = bytesOf({ inputs: [{ digest: missing, index: 0n }] });
    fails(definition(sourceBytes, terminal), `invalid missing input digest ${missing}`);
    fails(definition(sourceBytes, bytesOf({ inputs: [inputOf(sourceBytes, -1n)] })), "invalid input 0 output index -1");
    fails(definition(sourceBytes, bytesOf({ inputs: [{ digest: "x", index: 0n }] })), "invalid missing input digest x");
  });

  test("rejects ops whose parts are missing or point nowhere", () => {
    fails(withOp({}), "invalid nil op");
    fails(withOp({ op: { case: "exec", value: {} } }), "invalid exec op with no meta");
    fails(withOp({ op: { case: "exec", value: { meta: {} } } }), "invalid exec op with no args");
    fails(withOp({ op: { case: "exec", value: { meta: { args: ["x"] } } } }), "invalid exec op with no mounts");
    const mounts = [{ dest: "/a" }];
    fails(withOp({ op: { case: "exec", value: { meta: { args: ["x"] }, mounts } } }), "invalid exec op with no rootfs");
    fails(
      withOp({ op: { case: "exec", value: { meta: { args: ["x"] }, mounts: [{ dest: "/", input: 4n }] } } }),
      /input/,
    );
    fails(withOp({ op: { case: "file", value: {} } }), "invalid file op with no actions");
    fails(withOp({ op: { case: "file", value: { actions: [{ input: 0n }] } } }), /action 0 has invalid input index 0/);
    fails(withOp({ op: { case: "diff", value: {} } }), "invalid diff op with nil lower or upper input");
    fails(withOp({ op: { case: "merge", value: { inputs: [{ input: 1n }] } } }), "invalid merge input index 1");
    fails(withOp({ op: { case: "passthrough", value: {} } }), "invalid passthrough op with no id");
  });

  test("gives inputs before the ops that use them, named as BuildKit names them", () => {
    const { def, metadata, source } = image("busybox")
      .run({ args: ["sh", "-c", "x"] })
      .marshal();
    const [first = sourceBytes, second = sourceBytes, last = sourceBytes] = def;
    const decoded = decodeDefinition({ def: [second, first, last], metadata, source });
    assert.deepEqual(
      decoded.ops.map((op) => op.name),
      ["docker-image://docker.io/library/busybox:latest", "sh -c x"],
    );
    assert.equal(decoded.root.digest, digestOf(second));
  });

  test("reads 100,000 vertices without recursion", () => {
    const def = [sourceBytes];
    for (let i = 0; i < 100_000; i++) {
      const actions = [{ input: 0n, action: { case: "mkdir", value: { path: `/${i}` } } as const }];
      def.push(bytesOf({ inputs: [inputOf(def.at(-1) ?? sourceBytes)], op: { case: "file", value: { actions } } }));
    }
    def.push(bytesOf({ inputs: [inputOf(def.at(-1) ?? sourceBytes)] }));
    assert.equal(decodeDefinition(definition(...def)).ops.length, 100_001);
  });

  test("never throws anything but a BuildError, whatever the bytes", () => {
    const valid = scratch().file(mkdir("/x", 0o755)).marshal().def;
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 4 }), fc.nat(), (noise, at) => {
        const def = [...valid];
        def.splice(at % (def.length + 1), 0, ...noise);
        try {
          decodeDefinition(definition(...def));
        } catch (error) {
          assert.ok(error instanceof BuildError);
        }
      }),
    );
  });
});
