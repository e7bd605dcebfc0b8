import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { describeDockerfile, describeIgnoreFile } from "./support/describe-outcome.ts";
import { corpusAreas, readCorpus } from "./support/read-corpus.ts";

for (const area of corpusAreas())
  suite(`the corpus of ${area}`, () => {
    for (const { name, data, expected } of readCorpus(area))
      test(name, async () => {
        const outcome = area === "ignore-patterns" ? describeIgnoreFile(data) : await describeDockerfile(data);
        assert.equal(outcome, expected);
      });
  });
