import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import { digestOf } from "@buildkit-ts/oci";
import type { BridgeRef } from "./bridge-ref.ts";
import type { BuildBridge } from "./build-bridge.ts";
import { FrontendRun } from "./frontend-run.ts";
import { RefTable } from "./ref-table.ts";

function ref(id: string, bytes: number): BridgeRef {
  const definition = create(opspb.DefinitionSchema, { def: [new Uint8Array(bytes)] });
  return { id, definition, [Symbol.asyncDispose]: async () => undefined } as Partial<BridgeRef> as BridgeRef;
}

suite("what a frontend may have of the daemon's memory", () => {
  test("is so many bytes of definitions", () => {
    const table = new RefTable();
    for (let i = 0; i < 17; i += 1) {
      table.checkRoom();
      table.add(ref(`${i}`, i === 0 ? 1 : 16 << 20));
    }
    assert.throws(() => table.checkRoom(), { code: "resource_exhausted" });
    assert.equal(table.find("3")?.id, "3");
  });

  test("is so many results, however small", () => {
    const table = new RefTable();
    for (let i = 0; i < 100_000; i += 1) table.add(ref(`${i}`, 0));
    assert.throws(() => table.checkRoom(), { code: "resource_exhausted" });
  });

  test("is so many warnings", async () => {
    let given = 0;
    const bridge = { warn: () => (given += 1) } as Partial<BuildBridge> as BuildBridge;
    await using run = new FrontendRun(bridge, {});
    const warning = { level: 1, short: "x", detail: [], url: "", ranges: [] };
    const vertex = digestOf("x");
    for (let i = 0; i < 10_000; i += 1) run.warn(vertex, warning);
    assert.throws(() => run.warn(vertex, warning), { code: "resource_exhausted" });
    assert.equal(given, 10_000);
  });
});
