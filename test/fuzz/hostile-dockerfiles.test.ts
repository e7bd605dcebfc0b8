import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { PatternMatcher } from "@buildkit-ts/patterns";
import { judgeDockerfile } from "./support/judge-dockerfile.ts";

const lines = (count: number, line: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => `${line(i)}\n`).join("");

/** Small files that would cost much memory or time if anything in them were done naively. */
const files: Readonly<Record<string, string>> = {
  "nested defaults": `FROM scratch\nENV A=${"${A:-".repeat(10_000)}x${"}".repeat(10_000)}`,
  "nested defaults without end": `FROM scratch\nENV A=${"${A:-".repeat(12_000)}`,
  "a pattern of many stars at the beginning": `FROM scratch\nENV B=${"a".repeat(20_000)}\nENV A=\${B#${"*a".repeat(5000)}b}`,
  "a pattern of many stars at the end": `FROM scratch\nENV B=${"a".repeat(20_000)}\nENV A=\${B%%${"*a".repeat(5000)}b}`,
  "a replacement that grows": `FROM scratch\nENV B=${"a".repeat(20_000)}\nENV A=\${B//a/${"b".repeat(20_000)}}`,
  "a variable that doubles": `FROM scratch\nENV A=xxxxxxxxxx\n${"ENV A=$A$A\n".repeat(60)}`,
  "an argument that doubles": `ARG A=xxxxxxxxxx\n${"ARG A=$A$A\n".repeat(60)}FROM scratch`,
  "a value named many times": `FROM scratch\nENV A=${"x".repeat(60_000)}\nENV B=${"$A".repeat(20_000)}`,
  "a variable of 60 kB in many steps": `FROM scratch\n${lines(100, (i) => `ENV a${i}=${"x".repeat(60_000)}`)}${"RUN x\n".repeat(2000)}`,
  "directories below directories": `FROM scratch\n${`WORKDIR ${"a".repeat(50)}\n`.repeat(5000)}`,
  "open brackets": `FROM scratch\nCMD ${"[".repeat(60_000)}`,
  "many here-documents": `FROM scratch\nRUN ${"<<A ".repeat(5000)}\n${"A\n".repeat(5000)}`,
  "here-documents without end": `FROM scratch\n${lines(2000, (i) => `RUN <<E${i}`)}`,
  "a large here-document": `FROM scratch\nCOPY <<E /x\n${"x $A ${B} \n".repeat(30_000)}E\n`,
  "all ports again and again": `FROM scratch\n${"EXPOSE 1-65535/tcp 1-65535/udp\n".repeat(50)}`,
  "a chain of stages": lines(1000, (i) => `FROM ${i > 0 ? `s${i - 1}` : "scratch"} AS s${i}\nCOPY a b`),
  "stages that double": lines(
    300,
    (i) => `FROM scratch AS s${i}\n${i > 1 ? `COPY --from=s${i - 1} a b\nCOPY --from=s${i - 2} a b` : ""}`,
  ),
  "triggers of triggers": `FROM scratch\n${"ONBUILD ".repeat(8000)}RUN x`,
  "a line of 100,000 continuations": `FROM scratch\nRUN x ${"\\\n".repeat(100_000)}`,
  "comments within a line": `FROM scratch\nRUN x \\\n${"# c\n".repeat(100_000)} y`,
  "undefined variables that are nearly defined": `FROM scratch\n${lines(700, (i) => `ENV VARIABLE_${i}=1`)}${lines(700, (i) => `LABEL x=$VARIABLF_${i}`)}`,
  "long names that are nearly the same": `FROM scratch\n${lines(40, (i) => `ENV ${"A".repeat(30_000)}${i}=1`)}${lines(40, (i) => `LABEL x=$${"A".repeat(30_000)}B${i}`)}`,
  "many arguments and steps": `FROM scratch\nARG ${lines(3000, (i) => `a${i}`).replaceAll("\n", " ")}\n${"RUN x\n".repeat(100)}`,
  "many variables": `FROM scratch\n${lines(2000, (i) => `ENV a${i}=b`)}RUN x`,
  "many labels": `FROM scratch\nLABEL ${lines(5000, (i) => `a${i}=b`).replaceAll("\n", " ")}`,
  "many comments": `${"# a\n".repeat(100_000)}FROM scratch`,
  "many mounts": `FROM scratch\nRUN ${"--mount=type=cache,target=/a ".repeat(2000)} x`,
  "a mount of many keys": `FROM scratch\nRUN --mount=${"type=cache,".repeat(5000)}target=/x y`,
  "many sources": `FROM scratch\nCOPY ${"a ".repeat(5000)} /x/`,
  "many excludes": `FROM scratch\nCOPY ${"--exclude=**/a ".repeat(3000)} a /x/`,
  "quotes in quotes": `FROM scratch\nENV A=${"\"a\"'b'".repeat(8000)}`,
  "a symbolic mode of many parts": `FROM scratch\nCOPY --chmod=${"u+x,".repeat(15_000)}u+x a b`,
  "a git address of many parts": `FROM scratch\nADD https://a/b.git?${"ref=a&".repeat(10_000)} x`,
  "a platform of many parts": `FROM --platform=${"a/".repeat(20_000)} scratch`,
  "a reference of many parts": `FROM ${"a/".repeat(20_000)}b`,
  "byte order marks": `${"\xef\xbb\xbf".repeat(20_000)}FROM scratch`,
  "a quoted mount of quotes": `FROM scratch\nRUN --mount="${'""'.repeat(20_000)}" x`,
};

suite("a hostile Dockerfile costs no more than its size", () => {
  for (const [name, text] of Object.entries(files)) test(`with ${name}`, async () => await judgeDockerfile(text));
});

suite("a hostile ignore file costs no more than its size", () => {
  const patterns: Readonly<Record<string, readonly string[]>> = {
    "many stars": [`${"*a".repeat(200)}b`],
    "many double stars": [`${"**/a/".repeat(100)}b`],
    "many exceptions": Array.from({ length: 2000 }, (_, i) => (i % 2 === 0 ? `a${i}` : `!a${i - 1}/b`)),
    "character classes": [`${"[a-z]*".repeat(200)}B`],
  };
  for (const [name, list] of Object.entries(patterns)) {
    test(`with ${name}`, () => {
      const started = process.cpuUsage();
      const matcher = new PatternMatcher(list);
      for (const path of ["a".repeat(400), "a/".repeat(200), `${"a/a".repeat(100)}/c`]) matcher.matches(path);
      const { user, system } = process.cpuUsage(started);
      assert.ok((user + system) / 1000 < 2000);
    });
  }
});
