import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { noProgress, type StatusUpdate } from "@buildkit-ts/progress";
import { ChangingContexts } from "./changing-contexts.ts";

const id = "waiting for the version of another build";

function recordStatuses(): { readonly statuses: StatusUpdate[]; readonly progress: typeof noProgress } {
  const statuses: StatusUpdate[] = [];
  return { statuses, progress: { ...noProgress, status: (update) => void statuses.push(update) } };
}

suite("ChangingContexts", () => {
  const { signal } = new AbortController();

  test("says that a build waits for another one's version, and when it goes on", async () => {
    const contexts = new ChangingContexts();
    const { statuses, progress } = recordStatuses();
    using other = contexts.begin("key");
    const settled = contexts.settled("key", { signal, progress });
    assert.deepEqual(
      statuses.map((each) => [each.id, each.completed !== undefined]),
      [[id, false]],
    );
    other[Symbol.dispose]();
    await settled;
    assert.deepEqual(
      statuses.map((each) => [each.id, each.completed !== undefined]),
      [
        [id, false],
        [id, true],
      ],
    );
  });

  test("says nothing where there is nothing to wait for", async () => {
    const contexts = new ChangingContexts();
    const { statuses, progress } = recordStatuses();
    using _other = contexts.begin("key");
    await contexts.settled("another key", { signal, progress });
    assert.deepEqual(statuses, []);
  });

  test("ends the wait of a build that is canceled", async () => {
    const contexts = new ChangingContexts();
    const { statuses, progress } = recordStatuses();
    const controller = new AbortController();
    using _other = contexts.begin("key");
    const settled = contexts.settled("key", { signal: controller.signal, progress });
    controller.abort(new Error("canceled by its user"));
    await assert.rejects(settled, /canceled by its user/);
    assert.equal(statuses.at(-1)?.completed !== undefined, true);
  });
});
