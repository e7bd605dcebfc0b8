import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { locationsOf } from "../text/located-error.ts";
import { parseDockerfile } from "./parse-dockerfile.ts";

const parse = (text: string): ReturnType<typeof parseDockerfile> => parseDockerfile(new TextEncoder().encode(text));

suite("parseDockerfile()", () => {
  test("joins continuations and leaves comments inside them out", () => {
    const { lines, emptyContinuations } = parse("FROM a\nRUN x \\\n  # why\n\n  y\n");
    assert.equal(lines[1]?.original, "RUN x   y");
    assert.deepEqual([lines[1]?.startLine, lines[1]?.endLine], [2, 5]);
    assert.deepEqual(emptyContinuations, [5]);
  });

  test("does not continue after an escaped escape", () => {
    assert.deepEqual(
      parse("FROM a\nRUN x \\\\\nRUN y\n").lines.map(({ args }) => args),
      [["a"], ["x \\\\"], ["y"]],
    );
  });

  test("takes another escape character from the directive", () => {
    const { lines, escape } = parse("# escape=`\nFROM a\nRUN x `\ny \\\n");
    assert.equal(escape, "`");
    assert.equal(lines[1]?.original, "RUN x y \\");
  });

  test("reads here-documents, several of one line in order", () => {
    const [, line] = parse('FROM a\nCOPY <<A <<-"B" /d\n1\nA\n\t2 $x\n\tB\n').lines;
    assert.deepEqual(line?.heredocs, [
      { name: "A", expand: true, chomp: false, fileDescriptor: 0, content: "1\n" },
      { name: "B", expand: false, chomp: true, fileDescriptor: 0, content: "\t2 $x\n" },
    ]);
  });

  test("keeps comments for the instruction below them", () => {
    assert.deepEqual(parse("# one\n# two\nFROM a\n").lines[0]?.comments, ["one", "two"]);
    assert.deepEqual(parse("# one\n#\n# two\nFROM a\n").lines[0]?.comments, ["two"]);
  });

  test("skips a byte order mark and takes Windows line ends", () => {
    assert.deepEqual(parse("\uFEFFFROM a\r\nRUN b\r\n").lines[1]?.args, ["b"]);
  });
});

suite("parseDockerfile() on what is wrong", () => {
  for (const [text, message, line] of [
    ["RUN <<E\nx\n", "unterminated heredoc", 1],
    ["# nothing\n", "file with no instructions", 1],
    ["FROM a\nENV x\n", "ENV must have two arguments", 2],
    ["FROM a\nRUN [1]\n", "when using JSON array syntax, arrays must be comprised of strings only", 2],
    [`FROM ${"a".repeat(70000)}\n`, "file with no instructions", 0],
    [`FROM a\nRUN ${"a".repeat(70000)}\n`, "dockerfile line greater than max allowed size of 65535", 1],
  ] as const)
    test(`reports ${JSON.stringify(message)} with its line`, () => {
      assert.throws(
        () => parse(text),
        (error: Error) => error.message === message && locationsOf(error)[0]?.[0]?.start.line === line,
      );
    });

  test("neither crashes nor hangs on anything", () => {
    const piece = fc.constantFrom(
      "FROM",
      "RUN ",
      "COPY",
      "ONBUILD ",
      "<<E",
      "\n",
      "\\",
      "\\\n",
      "#",
      "[",
      '"',
      "'",
      "$",
      "--",
      "E\n",
      "=",
      " ",
      "\t",
      "é",
      "\0",
      "`",
      "ARG a",
      "# escape=`\n",
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(piece, { maxLength: 60 }).map((p) => p.join("")),
        ),
        (text) => {
          try {
            parse(text);
          } catch (error) {
            assert.equal((error as Error).name, "LocatedError");
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});
