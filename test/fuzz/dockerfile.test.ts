import { suite, test } from "node:test";
import fc from "fast-check";
import { judgeDockerfile } from "./support/judge-dockerfile.ts";

const runs = process.env["NIGHTLY"] === undefined ? 400 : 20_000;

/** Words that mean something somewhere in a Dockerfile. */
const word = fc.oneof(
  fc.constantFrom(
    ...(
      "FROM RUN COPY ADD ENV ARG LABEL CMD ENTRYPOINT SHELL ONBUILD HEALTHCHECK EXPOSE VOLUME USER WORKDIR STOPSIGNAL MAINTAINER " +
      "AS as NONE scratch a b 0 1 a:b@sha256:00 x=y x= =y ${A} $A ${A:-b} ${A:+$B} ${A#*b} ${A##?} ${A%%[a-z]*} ${A/b/c} ${A//b} ${A:?no} " +
      '${ ${} ${A $ $$ \\$ \\ ` \' " \'\' "" << <<E <<-E <<\'E\' <<"E" <<E<<F E F [ ] [] ["a"] ["a",] [1] {"a":1} --from=a --from=0 ' +
      "--from= --chmod=u+x --chmod=9 --chown=$A:b --link --link=no --parents --exclude=** --exclude=! --checksum=sha256:0 --unpack " +
      "--keep-git-dir --mount=type=cache,target=/a --mount=type=secret,id=a,env=B --mount= --mount=a --mount=type=bind,from=b,source=/ " +
      "--mount=type=tmpfs,size=1k,target=/t --mount=type=ssh,mode=9 --mount=type=cache,sharing=$A,target=. --network=host --security=x " +
      "--device=a --platform=$BUILDPLATFORM --platform=a/b/c/d/e --interval=1 --retries=-1 --start-period=1h1m --x --x=y -- " +
      "http://a/b https://a/b.git#c:d git@a:b https://a/b.git?ref=c&ref=d # #syntax=a #escape=` #check=skip=all;error=true //syntax=a " +
      "* ** a/**/b ? [a-z] [^ ../../a / . ./ 80/tcp 1-99999/udp 8080:80 1.2.3.4:80/tcp\u00e9 \u0000 \ufeff"
    ).split(" "),
  ),
  fc.string({ maxLength: 8, unit: "binary" }),
);
const separator = fc.constantFrom(
  " ",
  " ",
  " ",
  "\n",
  "\n",
  "\t",
  "\\\n",
  "`\n",
  "\\ \n",
  "\n\n",
  "\n# c\n",
  "\r\n",
  "",
);
const tokens = fc.array(fc.tuple(word, separator), { maxLength: 40 }).map((all) => all.flat().join(""));
const instruction = fc
  .tuple(
    fc.constantFrom(
      ..."RUN COPY ADD ENV ARG LABEL CMD ENTRYPOINT SHELL ONBUILD HEALTHCHECK EXPOSE VOLUME USER WORKDIR".split(" "),
    ),
    fc.array(word, { maxLength: 5 }),
  )
  .map(([name, words]) => `${name} ${words.join(" ")}`);
const file = fc
  .array(instruction, { maxLength: 12 })
  .map((lines) => `FROM scratch AS a\n${lines.join("\n")}\nFROM a\n`);

suite("any text as a Dockerfile", () => {
  test("of bytes is accepted or refused", async () => {
    await fc.assert(fc.asyncProperty(fc.string({ unit: "binary", maxLength: 300 }), judgeDockerfile), {
      numRuns: runs,
    });
  });

  test("of words that mean something is accepted or refused", async () => {
    await fc.assert(fc.asyncProperty(tokens, judgeDockerfile), { numRuns: runs });
  });

  test("of instructions with any arguments is accepted or refused", async () => {
    await fc.assert(fc.asyncProperty(file, judgeDockerfile), { numRuns: runs });
  });

  test("that was accepted stays so when a byte of it changes, or is refused", async () => {
    const good =
      "# syntax=a\n# escape=\\\nARG V=1\nFROM --platform=$BUILDPLATFORM a:$V AS b\nRUN --mount=type=cache,target=/c <<EOT sh\nx\nEOT\n" +
      'COPY --from=b --chmod=u+rwx ["x", "y"] <<F /d/\nz\nF\nENV A="b c" D=${A:-e}\nHEALTHCHECK --interval=5s CMD ["t"]\n';
    const change = fc.tuple(fc.nat(good.length - 1), fc.integer({ min: 0, max: 255 }), fc.boolean());
    await fc.assert(
      fc.asyncProperty(change, async ([at, byte, inserts]) => {
        await judgeDockerfile(good.slice(0, at) + String.fromCharCode(byte) + good.slice(inserts ? at : at + 1));
      }),
      { numRuns: runs },
    );
  });
});
