import assert from "node:assert/strict";
import { test } from "node:test";
import { digestOf } from "@buildkit-ts/oci";
import type { ContentDescriber, ContentListing, Explainer, Explanation } from "./explainer.ts";
import { SolverFixture } from "./testing/index.ts";

const { signal } = new AbortController();

/** Explains nothing, and records what was listed. */
class RecordingExplainer implements Explainer {
  readonly recorded: string[] = [];

  explain({ vertex }: Parameters<Explainer["explain"]>[0]): Promise<Explanation> {
    const { digest, name } = vertex;
    const reason = "never-seen";
    return Promise.resolve({ vertex: digest, name, location: undefined, reason, root: reason, text: [], details: {} });
  }

  async record({ vertex, inputs }: Parameters<Explainer["record"]>[0]): Promise<void> {
    for (const { list } of inputs) if (list !== undefined) this.recorded.push(`${vertex.name} ${(await list()).files}`);
  }
}

/** Lists when it is told to, or fails with its signal. */
class SlowDescriber implements ContentDescriber {
  readonly #gate = Promise.withResolvers<ContentListing>();
  running = 0;

  finish(files: number): void {
    this.#gate.resolve({ root: digestOf(""), files, directories: new Map() });
  }

  async list(...[, context]: Parameters<ContentDescriber["list"]>): Promise<ContentListing> {
    this.running += 1;
    const aborted = new Promise<never>((_resolve, reject) => {
      context.signal.addEventListener("abort", () => reject(context.signal.reason as Error), { once: true });
    });
    try {
      return await Promise.race([this.#gate.promise, aborted]);
    } finally {
      this.running -= 1;
    }
  }

  withSameBytes(): Promise<readonly boolean[]> {
    return Promise.resolve([]);
  }
}

test("what a step has read is listed while it runs, and recorded before its build ends", async () => {
  const explainer = new RecordingExplainer();
  const fixture = new SolverFixture(explainer);
  const describer = new SlowDescriber();
  const source = fixture.vertex("source");
  const step = fixture.vertex("step", { inputs: [source.edge()], content: [0], describer });
  {
    await using job = fixture.job();
    await using _result = await job.build(step.edge(), { signal });
    assert.equal(describer.running, 1, "the result does not wait for the list");
    describer.finish(3);
  }
  assert.deepEqual(explainer.recorded, ["step 3"]);
  assert.deepEqual(fixture.results.holds, { count: 0, freedTwice: 0 });
});

test("a step that failed is not listed any more when its build has ended", async () => {
  const fixture = new SolverFixture(new RecordingExplainer());
  const describer = new SlowDescriber();
  const source = fixture.vertex("source");
  const work = async (): Promise<void> => {
    assert.equal(describer.running, 1);
    return await Promise.reject(new Error("no"));
  };
  const step = fixture.vertex("step", { inputs: [source.edge()], content: [0], describer, work });
  await assert.rejects(fixture.build(step.edge()), /no/);
  assert.equal(describer.running, 0);
  assert.deepEqual(fixture.reports, []);
  assert.deepEqual(fixture.results.holds, { count: 0, freedTwice: 0 });
});
