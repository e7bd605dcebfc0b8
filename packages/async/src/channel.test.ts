import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Channel } from "./channel.ts";

suite("Channel", () => {
  test("gives values in order and ends after close()", async () => {
    const channel = new Channel<number>({ limit: 10 });
    await channel.send(1);
    await channel.send(2);
    channel.close();
    await channel.send(3);
    assert.deepEqual(await Array.fromAsync(channel), [1, 2]);
  });

  test("holds a sender back until the reader has taken what was sent", async () => {
    const channel = new Channel<string>({ limit: 4, weigh: (text) => text.length });
    const order: string[] = [];
    const sent = channel.send("12345").then(() => order.push("sent"));
    const reader = channel[Symbol.asyncIterator]();
    await Promise.resolve();
    assert.deepEqual(order, []);
    assert.equal((await reader.next()).value, "12345");
    await sent;
    assert.deepEqual(order, ["sent"]);
  });

  test("ends with the error that it was closed with, after what was sent before", async () => {
    const channel = new Channel<number>({ limit: 10 });
    await channel.send(1);
    channel.close({ error: new Error("gone") });
    const reader = channel[Symbol.asyncIterator]();
    assert.equal((await reader.next()).value, 1);
    await assert.rejects(reader.next(), /gone/);
  });

  test("lets senders go when the reader leaves", async () => {
    const channel = new Channel<number>({ limit: 1 });
    const blocked = channel.send(1);
    const reader = channel[Symbol.asyncIterator]();
    await reader.next();
    await blocked;
    const second = channel.send(2);
    await reader.return();
    await second;
    await channel.send(3);
  });
});
