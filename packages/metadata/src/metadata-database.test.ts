import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { MetadataDatabase } from "./index.ts";

function place(t: TestContext): { path: string; directory: string; reports: unknown[]; open: () => MetadataDatabase } {
  const directory = mkdtempSync(join(tmpdir(), "metadata-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, "state.db");
  const reports: unknown[] = [];
  const reporter = { report: (error: unknown) => reports.push(error) };
  return { path, directory, reports, open: () => MetadataDatabase.open(path, { reporter }) };
}

const schema = ["CREATE TABLE item (name TEXT PRIMARY KEY, count INTEGER NOT NULL) STRICT"];

test("rows are there after reopening, and each migration step runs once", (t) => {
  const { open } = place(t);
  {
    using database = open();
    database.migrate("items", schema);
    database.run("INSERT INTO item VALUES (?, ?)", "a", 1);
  }
  using database = open();
  database.migrate("items", [...schema, "ALTER TABLE item ADD COLUMN note TEXT"]);
  assert.deepEqual({ ...database.get("SELECT * FROM item") }, { name: "a", count: 1, note: null });
  assert.throws(() => database.migrate("items", schema), { code: "failed_precondition" });
});

test("transaction() keeps nothing of a failed body, and an inner failure that is caught undoes only the inner one", (t) => {
  using database = place(t).open();
  database.migrate("items", schema);
  assert.throws(() =>
    database.transaction(() => {
      database.run("INSERT INTO item VALUES ('a', 1)");
      database.run("INSERT INTO item VALUES ('a', 1)");
    }),
  );
  assert.deepEqual(database.all("SELECT * FROM item"), []);
  database.transaction(() => {
    database.run("INSERT INTO item VALUES ('b', 1)");
    assert.throws(() =>
      database.transaction(() => {
        database.run("INSERT INTO item VALUES ('c', 1)");
        throw new Error("inner");
      }),
    );
  });
  assert.deepEqual(
    database.all("SELECT name FROM item").map((row) => row["name"]),
    ["b"],
  );
});

test("defer() makes the last write of each key, at the latest when the database is closed", (t) => {
  const { open, reports } = place(t);
  {
    using database = open();
    database.migrate("items", schema);
    const insert = (name: string, count: number): void =>
      void database.run("INSERT INTO item VALUES (?, ?)", name, count);
    database.defer("a", () => insert("a", 1));
    database.defer("a", () => insert("a", 2));
    database.defer("b", () => insert("b", 1));
    assert.deepEqual(database.all("SELECT * FROM item"), []);
  }
  using database = open();
  assert.deepEqual(
    database.all("SELECT name, count FROM item ORDER BY name").map((row) => ({ ...row })),
    [
      { name: "a", count: 2 },
      { name: "b", count: 1 },
    ],
  );
  assert.deepEqual(reports, []);
});

test("defer() keeps nothing of a turn that fails, and reports it", (t) => {
  const { open, reports } = place(t);
  {
    using database = open();
    database.migrate("items", schema);
    database.defer("a", () => void database.run("INSERT INTO item VALUES ('a', 1)"));
    database.defer("b", () => {
      throw new Error("no space");
    });
  }
  using database = open();
  assert.deepEqual(database.all("SELECT * FROM item"), []);
  assert.equal(reports.length, 1);
});

test("open() moves a damaged database aside, reports it and begins a new one", (t) => {
  const { path, directory, reports, open } = place(t);
  writeFileSync(
    path,
    "this is not a database, although it is long enough to have a header of one hundred bytes".repeat(9),
  );
  using database = open();
  database.migrate("items", schema);
  assert.equal(reports.length, 1);
  assert.match(String(reports[0]), /Cannot read metadata database .* it is damaged/);
  assert.ok(readdirSync(directory).some((name) => name.includes(".corrupt-")));
});

test("open() finds damage inside the file", (t) => {
  const { path, reports, open } = place(t);
  {
    using database = open();
    database.migrate("items", schema);
    for (let index = 0; index < 2000; index++) database.run("INSERT INTO item VALUES (?, ?)", `name ${index}`, index);
  }
  writeFileSync(path, Buffer.alloc(3 * 4096, 0xa5), { flag: "r+" });
  using database = open();
  assert.equal(reports.length, 1);
  assert.equal(database.get("SELECT count(*) AS n FROM schema_version")?.["n"], 0);
});
