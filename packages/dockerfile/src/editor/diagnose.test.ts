import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { diagnose } from "./diagnose.ts";
import { applyFix } from "./diagnostic.ts";

/** `line:from-to`, what is underlined, and the text after the first fix. */
async function found(text: string, rule: string | undefined): Promise<readonly [string, string, string | undefined]> {
  const all = await diagnose(text);
  const one = all.find((diagnostic) => diagnostic.rule === rule);
  assert.ok(one !== undefined, JSON.stringify(all));
  const { start, end } = one.range;
  const lines = text.split("\n");
  const words = start.line === end.line ? (lines[start.line - 1] ?? "").slice(start.character, end.character) : "…";
  const [fix] = one.fixes;
  return [`${start.line}:${start.character}-${end.character}`, words, fix && applyFix(text, fix)];
}

const cases: readonly (readonly [rule: string | undefined, text: string, words: string, fixed: string | undefined])[] =
  [
    ["StageNameCasing", "FROM scratch AS Base\n", "Base", "FROM scratch AS base\n"],
    ["FromAsCasing", "FROM scratch as base\n", "as", "FROM scratch AS base\n"],
    ["NoEmptyContinuation", "FROM scratch\nLABEL a=b \\\n\n  c=d\n", "", "FROM scratch\nLABEL a=b \\\n  c=d\n"],
    [
      "ConsistentInstructionCasing",
      "FROM scratch\nlabel a=b\nLABEL c=d\n",
      "label",
      "FROM scratch\nLABEL a=b\nLABEL c=d\n",
    ],
    ["DuplicateStageName", "FROM scratch AS b\nFROM scratch AS b\n", "b", undefined],
    ["ReservedStageName", "FROM busybox AS scratch\n", "scratch", undefined],
    ["JSONArgsRecommended", "FROM scratch\nCMD run me\n", "CMD run me", 'FROM scratch\nCMD ["run", "me"]\n'],
    [
      "JSONArgsRecommended",
      "FROM scratch\nCMD a && b\n",
      "CMD a && b",
      'FROM scratch\nCMD ["/bin/sh", "-c", "a && b"]\n',
    ],
    [
      "MaintainerDeprecated",
      "FROM scratch\nMAINTAINER a@b.c\n",
      "MAINTAINER a@b.c",
      'FROM scratch\nLABEL org.opencontainers.image.authors="a@b.c"\n',
    ],
    [
      "UndefinedArgInFrom",
      "ARG version=1\nFROM busybox:${vershion}\n",
      "vershion",
      "ARG version=1\nFROM busybox:${version}\n",
    ],
    ["WorkdirRelativePath", "FROM scratch\nWORKDIR app\n", "app", "FROM scratch\nWORKDIR /app\n"],
    [
      "UndefinedVar",
      "FROM scratch\nENV GREETING=a\nLABEL b=$GREETNG\n",
      "GREETNG",
      "FROM scratch\nENV GREETING=a\nLABEL b=$GREETING\n",
    ],
    ["MultipleInstructionsDisallowed", 'FROM scratch\nCMD ["a"]\nCMD ["b"]\n', 'CMD ["a"]', undefined],
    ["LegacyKeyValueFormat", "FROM scratch\nENV a b c\n", "ENV a b c", 'FROM scratch\nENV a="b c"\n'],
    [
      "RedundantTargetPlatform",
      "FROM --platform=$TARGETPLATFORM scratch\n",
      "--platform=$TARGETPLATFORM ",
      "FROM scratch\n",
    ],
    ["SecretsUsedInArgOrEnv", "FROM scratch\nENV MY_TOKEN=x\n", "MY_TOKEN", undefined],
    ["InvalidDefaultArgInFrom", "ARG VERSION\nFROM busybox:$VERSION\n", "busybox:$VERSION", undefined],
    [
      "FromPlatformFlagConstDisallowed",
      "FROM --platform=linux/amd64 scratch\n",
      "--platform=linux/amd64 ",
      "FROM scratch\n",
    ],
    ["ExposeProtoCasing", "FROM scratch\nEXPOSE 80/TCP\n", "80/TCP", "FROM scratch\nEXPOSE 80/tcp\n"],
    ["ExposeInvalidFormat", "FROM scratch\nEXPOSE 8080:80/tcp\n", "8080:80/tcp", "FROM scratch\nEXPOSE 80/tcp\n"],
    [undefined, "FROM scratch\nCOPPY a b\n", "COPPY", "FROM scratch\nCOPY a b\n"],
    [undefined, "FROM scratch\nCOPY --form=x a b\n", "--form", "FROM scratch\nCOPY --from=x a b\n"],
    [
      undefined,
      "FROM scratch\nRUN --mount=type=cahce,target=/a b\n",
      "cahce",
      "FROM scratch\nRUN --mount=type=cache,target=/a b\n",
    ],
  ];

suite("diagnose()", () => {
  for (const [rule, text, words, fixed] of cases) {
    test(`underlines ${JSON.stringify(words)} for ${rule ?? "an error"}${fixed === undefined ? "" : ", and mends it"}`, async () => {
      const [, underlined, after] = await found(text, rule);
      assert.equal(underlined, words);
      assert.equal(after, fixed);
      if (after === undefined) return;
      const left = (await diagnose(after)).filter((diagnostic) => diagnostic.rule === rule);
      assert.deepEqual(left, []);
    });
  }

  test("tells line and column", async () => {
    assert.equal((await found("FROM scratch\n  COPPY a b\n", undefined))[0], "2:2-7");
  });

  test("tells of an undefined variable before the error behind it", async () => {
    const found = await diagnose('FROM scratch\nWORKDIR $A/"\n');
    assert.deepEqual(
      found.map(({ rule }) => rule),
      ["UndefinedVar", undefined],
    );
  });

  test("is silent about a good file, and needs no registry for its images", async () => {
    assert.deepEqual(await diagnose('FROM alpine AS a\nRUN x\nFROM a\nCMD ["y"]\n'), []);
  });

  test("stays within the text, whatever it is", async () => {
    const word = fc.constantFrom(
      "FROM",
      "from",
      "as",
      "AS",
      "A",
      "scratch",
      "$B",
      "COPPY",
      "ENV",
      "a",
      "\\",
      "\n",
      "\n",
      " ",
      "\t",
      "é",
      "<<E",
      "EXPOSE",
      "1/TCP",
      "=",
    );
    await fc.assert(
      fc.asyncProperty(fc.array(word, { maxLength: 30 }), async (words) => {
        const text = words.join(" ");
        const lines = text.split(/\r?\n/);
        for (const { range, fixes } of await diagnose(text)) {
          for (const { line, character } of [range.start, range.end]) {
            assert.ok(line >= 1 && line <= lines.length + 1);
            assert.ok(character >= 0 && character <= (lines[line - 1] ?? "").length);
          }
          for (const fix of fixes) assert.equal(typeof applyFix(text, fix), "string");
        }
      }),
      { numRuns: 300 },
    );
  });
});
