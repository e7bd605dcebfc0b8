import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { BatchQueue } from "./batch-queue.ts";

interface Taker {
  readonly queue: BatchQueue;
  readonly batches: { readonly buffer: ArrayBuffer; readonly length: number }[];
  readonly events: string[];
  /** Lets the pause after a batch end. */
  readonly endPause: () => void;
}

function makeQueue(): Taker {
  const batches: Taker["batches"] = [];
  const events: string[] = [];
  const waiting: (() => void)[] = [];
  const queue = new BatchQueue({
    handOver: (buffer, length) => void batches.push({ buffer, length }),
    pause: () => void events.push("pause"),
    resume: () => void events.push("resume"),
    later: (run) => void waiting.push(run),
  });
  const endPause = (): void => {
    for (const run of waiting.splice(0)) run();
  };
  return { queue, batches, events, endPause };
}

suite("BatchQueue", () => {
  test("hands over together what comes in one turn, and what comes while the taker is busy", async () => {
    const { queue, batches, endPause } = makeQueue();
    queue.push(Buffer.from("ab"));
    queue.push(Buffer.from("c"));
    assert.equal(batches.length, 0);
    await nextTurn();
    assert.deepEqual(
      batches.map(({ buffer, length }) => Buffer.from(buffer, 0, length).toString()),
      ["abc"],
    );
    queue.push(Buffer.from("de"));
    await nextTurn();
    queue.push(Buffer.from("f"));
    await nextTurn();
    assert.equal(batches.length, 1);
    const [first] = batches;
    assert.ok(first !== undefined && !queue.isIdle);
    endPause();
    queue.taken(first.buffer, first.length);
    const [, second] = batches;
    assert.ok(second !== undefined);
    assert.equal(Buffer.from(second.buffer, 0, second.length).toString(), "def");
    queue.taken(second.buffer, second.length);
    assert.ok(queue.isIdle);
    // In memory that came back.
    endPause();
    queue.push(Buffer.from("g"));
    await nextTurn();
    assert.ok([first.buffer, second.buffer].includes(batches[2]?.buffer ?? new ArrayBuffer()));
  });

  test("waits a moment after a batch for more, unless much has come", async () => {
    const { queue, batches, endPause } = makeQueue();
    const takeLast = (): void => {
      const last = batches.at(-1);
      if (last !== undefined) queue.taken(last.buffer, last.length);
    };
    const lengths = (): number[] => batches.map(({ length }) => length);
    queue.push(Buffer.alloc(1));
    await nextTurn();
    takeLast();
    queue.push(Buffer.alloc(2));
    await nextTurn();
    queue.push(Buffer.alloc(2));
    assert.deepEqual(lengths(), [1]);
    endPause();
    assert.deepEqual(lengths(), [1, 4]);
    takeLast();
    queue.push(Buffer.alloc(64 << 10));
    await nextTurn();
    assert.deepEqual(lengths(), [1, 4, 64 << 10]);
    takeLast();
    endPause();
    queue.push(Buffer.alloc(3));
    await nextTurn();
    assert.deepEqual(lengths(), [1, 4, 64 << 10, 3]);
  });

  test("stops who sends faster than its bytes are taken", () => {
    const { queue, batches, events } = makeQueue();
    const chunk = new Uint8Array(1 << 20);
    for (let sent = 0; sent < 5; sent += 1) queue.push(chunk);
    assert.ok(events.length > 0 && events.every((event) => event === "pause"));
    events.length = 0;
    for (const { buffer, length } of batches) queue.taken(buffer, length);
    assert.equal(events[0], "resume");
    assert.ok(queue.isIdle);
  });
});
