import { suite, test } from "node:test";
import { type ModelRun, runModel } from "./testing/model-run.ts";

/** A run of the model that once never ended: builds of both outputs of a step met while one output's record was made. */
const run: ModelRun = {
  graph: {
    ops: [
      { values: 1, byContent: false, isComputed: false, selector: false, turns: 3, fails: false, flaky: 0 },
      { values: 3, byContent: false, isComputed: false, selector: false, turns: 0, fails: false, flaky: 1 },
      { values: 1, byContent: false, isComputed: false, selector: true, turns: 3, fails: false, flaky: 0 },
    ],
    steps: [
      { op: 0, inputs: [], ignoreCache: false },
      { op: 2, inputs: [{ step: 0, output: 0 }], ignoreCache: false },
      {
        op: 0,
        inputs: [
          { step: 0, output: 0 },
          { step: 0, output: 1 },
          { step: 0, output: 1 },
        ],
        ignoreCache: false,
      },
      { op: 1, inputs: [], ignoreCache: false },
      { op: 0, inputs: [{ step: 2, output: 1 }], ignoreCache: false },
      {
        op: 0,
        inputs: [
          { step: 4, output: 0 },
          { step: 2, output: 0 },
        ],
        ignoreCache: false,
      },
      {
        op: 2,
        inputs: [
          { step: 2, output: 1 },
          { step: 3, output: 0 },
        ],
        ignoreCache: false,
      },
    ],
  },
  builds: [
    { step: 4, output: 0, seed: 0, startAt: 28, cancelAfter: 12 },
    { step: 4, output: 1, seed: 2, startAt: 10, cancelAfter: 7 },
    { step: 0, output: 0, seed: 1, startAt: 17, cancelAfter: 17 },
    { step: 2, output: 0, seed: 0, startAt: 13, cancelAfter: undefined },
    { step: 0, output: 0, seed: 1, startAt: 29, cancelAfter: 24 },
    { step: 5, output: 0, seed: 1, startAt: 22, cancelAfter: undefined },
    { step: 3, output: 0, seed: 2, startAt: 21, cancelAfter: undefined },
    { step: 6, output: 1, seed: 0, startAt: 14, cancelAfter: undefined },
    { step: 1, output: 0, seed: 1, startAt: 23, cancelAfter: 6 },
    { step: 1, output: 1, seed: 0, startAt: 21, cancelAfter: undefined },
    { step: 1, output: 1, seed: 2, startAt: 17, cancelAfter: undefined },
    { step: 6, output: 1, seed: 0, startAt: 12, cancelAfter: 27 },
    { step: 0, output: 1, seed: 1, startAt: 30, cancelAfter: undefined },
    { step: 1, output: 0, seed: 2, startAt: 30, cancelAfter: undefined },
    { step: 6, output: 0, seed: 0, startAt: 16, cancelAfter: 37 },
    { step: 0, output: 1, seed: 1, startAt: 25, cancelAfter: undefined },
    { step: 0, output: 0, seed: 1, startAt: 20, cancelAfter: undefined },
    { step: 2, output: 0, seed: 0, startAt: 16, cancelAfter: undefined },
    { step: 3, output: 0, seed: 1, startAt: 12, cancelAfter: 33 },
    { step: 0, output: 1, seed: 2, startAt: 6, cancelAfter: undefined },
  ],
  seed: 1444999950,
  isDirect: false,
  lossRate: 0.5,
  theftRate: 0,
  importFailureRate: 0.3,
};

suite("a record that appears while its step is about to be executed", () => {
  test("stops only those whose output it is from executing", { timeout: 60_000 }, async () => {
    await runModel(run);
  });
});
