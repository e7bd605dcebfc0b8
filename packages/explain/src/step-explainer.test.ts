import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { suite, test } from "node:test";
import type { Explanation } from "@buildkit-ts/solver";
import { StepExplainer } from "./step-explainer.ts";
import { StepStore } from "./step-store.ts";
import { listingOf, missedStep, type TestStep } from "./testing/missed-steps.ts";

class Fixture {
  readonly store: StepStore;
  readonly gone = new Set<string>();
  project = "one";
  readonly explainer: StepExplainer;
  #next = 0;

  constructor(maxBytes?: number) {
    const database = new DatabaseSync(":memory:");
    this.store = new StepStore({ database, now: () => 0, ...(maxBytes !== undefined && { maxBytes }) });
    this.explainer = new StepExplainer({
      store: this.store,
      reporter: { report: (error) => assert.fail(String(error)) },
      exists: (result) => !this.gone.has(result),
      projectOf: () => this.project,
    });
  }

  async record(step: TestStep): Promise<string> {
    const result = `result ${(this.#next += 1)}`;
    await this.explainer.record(missedStep(step), result);
    return result;
  }

  async explain(step: TestStep): Promise<Explanation> {
    return await this.explainer.explain(missedStep(step));
  }
}

const base = { name: "[base 1/1] FROM alpine", links: ["alpine"] };

suite("StepExplainer", () => {
  test("says what it says without looking at records", async () => {
    const f = new Fixture();
    const reasons = async (step: TestStep): Promise<string> => (await f.explain(step)).reason;
    assert.equal(await reasons({}), "never-seen");
    assert.equal(await reasons({ ignoreCache: true }), "cache-disabled");
    assert.equal(await reasons({ isPersistent: false }), "not-cacheable");
    assert.equal(await reasons({ loss: "blob is gone" }), "lost");
  });

  test("names the fields that changed with both values, hides secrets and clips what is long", async () => {
    const f = new Fixture();
    await f.record({ fields: { command: "make", user: "me", "env TOKEN": "(hidden 12ab)" }, inputs: [base] });
    const fields = { command: "x".repeat(1000), "env TOKEN": "(hidden 34cd)" };
    const { reason, text } = await f.explain({ fields, inputs: [base] });
    assert.equal(reason, "op-changed");
    assert.equal(text[0], `op changed: command: "make" → "${"x".repeat(300)}…"`);
    assert.deepEqual(text.slice(1), ['op changed: user: "me" → (none)', "op changed: env TOKEN: (hidden) → (hidden)"]);
  });

  test("tells of files what changed: content, mode, owner, link target, kind, or that they are new or gone", async () => {
    const f = new Fixture();
    const same = { deep: { same: { text: "same" } } };
    const before = listingOf({
      ...same,
      content: { text: "a" },
      both: { text: "a" },
      mode: { text: "a" },
      owner: { text: "a" },
      link: { link: "a" },
      kind: { text: "a" },
      gone: { in: { text: "a" } },
    });
    const after = listingOf({
      ...same,
      content: { text: "b" },
      both: { text: "b", mode: 0o600 },
      mode: { text: "a", mode: 0o600 },
      owner: { text: "a", owner: [1, 2] },
      link: { link: "b" },
      kind: { link: "a" },
      new: { text: "a" },
    });
    await f.record({ inputs: [{ files: before }] });
    const { reason, text, details } = await f.explain({ inputs: [{ files: after, sameBytes: ["/mode", "/owner"] }] });
    assert.equal(reason, "files-changed");
    assert.deepEqual(text, [
      "files changed: 8 of 9 from [1/2] COPY . .",
      "  both (content, mode 0644 → 0600)",
      "  content (content)",
      "  gone/in (removed)",
      "  kind (file → symlink)",
      "  link (link target a → b)",
      "  mode (mode 0644 → 0600)",
      "  new (added)",
      "  owner (owner 0:0 → 1:2)",
    ]);
    assert.equal(details["count"], 8);
  });

  test("counts all and names the first of many files", async () => {
    const f = new Fixture();
    const tree = (text: string): ReturnType<typeof listingOf> =>
      listingOf({ src: Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`file${i + 100}`, { text }])) });
    await f.record({ inputs: [{ files: tree("a") }] });
    const { text } = await f.explain({ inputs: [{ files: tree("b") }] });
    assert.deepEqual(
      [text[0], text[1], text.at(-1)],
      ["files changed: 100 of 100 from [1/2] COPY . .", "  src/file100 (content)", "  and 90 more"],
    );
  });

  test("names the input that changed, and through others the one at the bottom", async () => {
    const f = new Fixture();
    await f.record({ inputs: [{ links: ["old"] }] });
    const changed = { name: "[1/3] COPY package.json .", location: "Dockerfile:2", links: ["new"] };
    const first = await f.explain({ inputs: [{ ...changed, explanation: explanation("files-changed") }] });
    assert.deepEqual([first.reason, first.root], ["input-changed", "files-changed"]);
    assert.deepEqual(first.text, ["input changed: [1/3] COPY package.json . (Dockerfile:2)", "  because"]);
    const second = await f.explain({ inputs: [{ name: "[2/3] RUN", links: ["newer"], explanation: first }] });
    assert.deepEqual(second.text, first.text);
    assert.equal(second.root, "files-changed");
  });

  test("takes an input that was only built again for the same one: then the record was pruned as well", async () => {
    const f = new Fixture();
    const result = await f.record({ inputs: [{ links: ["old"] }] });
    f.store.markGone(result);
    const again = { links: ["new"], explanation: explanation("pruned") };
    assert.equal((await f.explain({ inputs: [again] })).reason, "pruned");
    const other = { links: ["new"], explanation: explanation("op-changed") };
    assert.equal((await f.explain({ inputs: [other] })).reason, "input-changed");
  });

  test("notices that a result is gone also if nobody told", async () => {
    const f = new Fixture();
    f.gone.add(await f.record({ inputs: [base] }));
    assert.equal((await f.explain({ inputs: [base] })).reason, "pruned");
  });
});

suite("the nearest record", () => {
  test("is that of the same place of the same project, although the command is another one", async () => {
    const f = new Fixture();
    await f.record({ name: "[build 2/3] RUN make", fields: { command: "make" }, inputs: [base] });
    f.project = "two";
    await f.record({ name: "[build 2/3] RUN go build", fields: { command: "go build" }, inputs: [{ links: ["go"] }] });
    const step = { name: "[build 2/4] RUN make all", fields: { command: "make all" } };
    assert.equal(
      (await f.explain({ ...step, inputs: [{ links: ["rust"] }] })).text[0],
      'op changed: command: "go build" → "make all"',
    );
    f.project = "one";
    assert.equal((await f.explain({ ...step, inputs: [base] })).text[0], 'op changed: command: "make" → "make all"');
  });

  test("is none, where another project only has a step at the same place", async () => {
    const f = new Fixture();
    await f.record({ name: "[2/3] RUN make", fields: { command: "make" }, inputs: [base] });
    f.project = "two";
    const other = { name: "[2/3] RUN cargo build", fields: { command: "cargo build" }, inputs: [{ links: ["rust"] }] };
    assert.equal((await f.explain(other)).reason, "never-seen");
  });

  test("is found by its title when lines were inserted before it", async () => {
    const f = new Fixture();
    await f.record({ name: "[2/3] COPY src .", fields: { source: "src" }, inputs: [{ links: ["old"] }] });
    const moved = { name: "[5/6] COPY src .", fields: { source: "src" }, inputs: [{ links: ["new"] }] };
    assert.equal((await f.explain(moved)).reason, "input-changed");
  });
});

suite("StepStore", () => {
  test("keeps directories that records have in common once, and lets them go with the last record", async () => {
    const f = new Fixture();
    const shared = {
      node_modules: Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`m${i}`, { text: "m" }])),
    };
    const first = await f.record({ inputs: [{ files: listingOf({ ...shared, a: { text: "1" } }) }] });
    const one = f.store.listings.totalBytes;
    const second = await f.record({ inputs: [{ files: listingOf({ ...shared, a: { text: "2" } }) }] });
    assert.ok(f.store.listings.totalBytes < one * 1.05, "the second one adds only what differs");
    f.store.markGone(first);
    f.store.markGone(first);
    assert.ok(f.store.listings.totalBytes > one * 0.9);
    f.store.markGone(second);
    assert.equal(f.store.listings.totalBytes, 0);
  });

  test("stays within its budget: the oldest goes first", async () => {
    const f = new Fixture(20_000);
    for (let i = 0; i < 100; i++) {
      const files = listingOf({ [`file${i}`]: { text: String(i) } });
      await f.record({ name: `[1/1] RUN ${i}`, fields: { command: `echo ${i}` }, inputs: [{ files }] });
      assert.ok(f.store.usedBytes <= 20_000);
    }
    assert.equal((await f.explain({ name: "[1/1] RUN 0", fields: { command: "echo 0" } })).reason, "op-changed");
    const last = await f.explain({ name: "[1/1] RUN 99", fields: { command: "echo 99" }, inputs: [{ links: ["x"] }] });
    assert.notEqual(last.reason, "op-changed");
  });
});

function explanation(reason: Explanation["reason"]): Explanation {
  const vertex = missedStep().vertex.digest;
  return { vertex, name: "x", location: undefined, reason, root: reason, text: ["because"], details: {} };
}
