import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { suite, test } from "node:test";
import { BuildError } from "@buildkit-ts/errdefs";
import { digestOf } from "@buildkit-ts/oci";
import { type OpenAt, readBlobStream } from "./read-blob-stream.ts";

const bytes = Buffer.from("0123456789");
const descriptor = { mediaType: "", digest: digestOf(bytes), size: bytes.length };
const { signal } = new AbortController();

/** Time that passes at once, and is remembered. */
function fastClock(): {
  readonly slept: number[];
  readonly now: () => number;
  readonly sleep: (ms: number) => Promise<void>;
} {
  const slept: number[] = [];
  const sleep = async (ms: number): Promise<void> => {
    slept.push(ms);
    await Promise.resolve();
  };
  return { slept, now: () => 0, sleep };
}

async function readAll(
  openAt: OpenAt,
  options: { readonly offset?: number; readonly idleMs?: number } = {},
): Promise<string> {
  const clock = fastClock();
  const stream = await readBlobStream(descriptor, openAt, { signal, clock, ...options });
  return Buffer.concat(await Array.fromAsync(stream)).toString();
}

/** A body that gives some bytes, and then breaks. */
function breaking(from: number, count: number): Readable {
  return Readable.from(
    (async function* () {
      yield await Promise.resolve(bytes.subarray(from, from + count));
      throw new Error("ECONNRESET");
    })(),
    { objectMode: false },
  );
}

suite("readBlobStream()", () => {
  test("takes up a connection that breaks where it broke, as long as bytes come", async () => {
    const asked: number[] = [];
    const openAt: OpenAt = async (offset) => {
      asked.push(offset);
      return await Promise.resolve(breaking(offset, 1));
    };
    assert.equal(await readAll(openAt, { offset: 2 }), "23456789");
    assert.deepEqual(asked, [2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test("gives up when nothing comes any more", async () => {
    let attempts = 0;
    const openAt: OpenAt = async () => {
      attempts += 1;
      return await Promise.resolve(breaking(0, 0));
    };
    await assert.rejects(readAll(openAt), { code: "unavailable", message: /ECONNRESET/ });
    assert.equal(attempts, 5);
  });

  test("counts silence as a broken connection", async () => {
    const silent = new Readable({ read: () => undefined });
    const bodies = [silent, Readable.from([bytes], { objectMode: false })];
    assert.equal(
      await readAll(async () => await Promise.resolve(bodies.shift() ?? breaking(0, 0)), { idleMs: 5 }),
      "0123456789",
    );
    assert.ok(silent.destroyed);
  });

  test("does not ask again for what is gone, and refuses more than the descriptor says", async () => {
    const gone = new BuildError("not_found", "gone");
    await assert.rejects(
      readAll(async () => await Promise.reject(gone)),
      gone,
    );
    const large = Readable.from([Buffer.alloc(11)], { objectMode: false });
    await assert.rejects(
      readAll(async () => await Promise.resolve(large)),
      { code: "data_loss" },
    );
    assert.ok(large.destroyed);
  });

  test("asks for nothing behind the end", async () => {
    const openAt: OpenAt = async () => await Promise.reject(new Error("asked"));
    assert.equal(await readAll(openAt, { offset: bytes.length }), "");
  });

  test("ends with its signal, and leaves no connection", async () => {
    const controller = new AbortController();
    const body = new Readable({ read: () => undefined });
    const stream = await readBlobStream(descriptor, async () => await Promise.resolve(body), {
      signal: controller.signal,
    });
    const reading = Array.fromAsync(stream);
    const reason = new BuildError("canceled", "nobody waits");
    controller.abort(reason);
    await assert.rejects(reading, reason);
    assert.ok(body.destroyed);
  });
});
