import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { FrameTurns } from "./frame-turns.ts";

suite("FrameTurns", () => {
  test("gives what comes after a cut in a later turn, in its order", async () => {
    let given = "";
    const turns = new FrameTurns((bytes) => {
      given += bytes.toString();
    });
    turns.push(Buffer.from("a"));
    turns.cut();
    turns.cut();
    turns.push(Buffer.from("b"));
    turns.push(Buffer.from("c"));
    turns.cut();
    turns.push(Buffer.from("d"));
    assert.equal(given, "a");
    await nextTurn();
    assert.equal(given, "abc");
    turns.push(Buffer.from("e"));
    await nextTurn();
    assert.equal(given, "abcde");
    turns.push(Buffer.from("f"));
    assert.equal(given, "abcdef");
  });

  test("calls when nothing waits any more, at once where nothing does", async () => {
    const events: string[] = [];
    const turns = new FrameTurns((bytes) => void events.push(bytes.toString()));
    turns.whenEmpty(() => void events.push("first"));
    turns.cut();
    turns.push(Buffer.from("a"));
    turns.whenEmpty(() => void events.push("second"));
    turns.whenEmpty(() => void events.push("third"));
    await nextTurn();
    assert.deepEqual(events, ["first", "a", "second", "third"]);
  });

  test("is full once very many turns wait", async () => {
    const turns = new FrameTurns(() => undefined);
    for (let cuts = 0; cuts < 300; cuts += 1) {
      turns.cut();
      turns.push(Buffer.from("a"));
    }
    assert.ok(turns.isFull);
    for (let turn = 0; turn < 300; turn += 1) await nextTurn();
    assert.ok(!turns.isFull);
  });
});
