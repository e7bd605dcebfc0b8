import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import { createFileGraph } from "./file-graph.ts";

function action(input: number, secondaryInput: number, output: number): opspb.FileAction {
  return create(opspb.FileActionSchema, {
    input: BigInt(input),
    secondaryInput: BigInt(secondaryInput),
    output: BigInt(output),
    action: { case: "mkdir", value: { path: "/a" } },
  });
}

test("createFileGraph() commits outputs and what several actions take, and orders by need", () => {
  const graph = createFileGraph([action(2, -1, 0), action(0, -1, -1), action(2, 1, 1)], 1);
  assert.deepEqual(graph.outputs, [1, 3]);
  assert.deepEqual(graph.committed, new Set([2, 1, 3]));
  assert.deepEqual(graph.order, [2, 1, 3]);
});

test("createFileGraph() leaves a chain uncommitted up to its output", () => {
  const graph = createFileGraph([action(0, -1, -1), action(1, -1, -1), action(2, -1, 0)], 1);
  assert.deepEqual([...graph.committed], [3]);
});

test("createFileGraph() refuses indexes that name nothing, doubled outputs and loops", () => {
  const cases: readonly (readonly [opspb.FileAction[], RegExp])[] = [
    [[action(5, -1, 0)], /invalid input index 5/],
    [[action(-2, -1, 0)], /invalid input index -2/],
    [[action(0, 9, 0)], /invalid secondary input index 9/],
    [[action(0, -1, 0), action(0, -1, 0)], /duplicate output 0/],
    [[action(0, -1, 1)], /missing output index 0/],
    [[action(0, -1, -1)], /no outputs specified/],
    [[action(2, -1, 0), action(1, -1, -1)], /loop from index/],
    [[action(1, -1, 0)], /loop from index/],
  ];
  for (const [actions, message] of cases) assert.throws(() => createFileGraph(actions, 1), { message });
});
