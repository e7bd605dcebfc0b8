import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { BuildError } from "@buildkit-ts/errdefs";
import { digestOf } from "@buildkit-ts/oci";
import fc from "fast-check";
import { dockerfileToLlb } from "./dockerfile-to-llb.ts";

const config = new TextEncoder().encode(
  JSON.stringify({
    architecture: "amd64",
    os: "linux",
    config: {},
    rootfs: { type: "layers", diff_ids: [digestOf("x")] },
  }),
);
const world = {
  resolveImage: (ref: string): Promise<{ ref: string; digest: undefined; config: Uint8Array }> =>
    Promise.resolve({ ref, digest: undefined, config }),
};
const signal = new AbortController().signal;
const convertText = async (text: string): ReturnType<typeof dockerfileToLlb> =>
  await dockerfileToLlb({ dockerfile: new TextEncoder().encode(text), world, signal });

suite("dockerfileToLlb()", () => {
  test("gives the same bytes every time", async () => {
    const text = "FROM a AS b\nRUN --mount=type=cache,target=/c x\nFROM b\nCOPY --from=0 . /d\n";
    assert.deepEqual((await convertText(text)).definition.def, (await convertText(text)).definition.def);
  });

  test("converts 200 stages of 10 lines quickly", async () => {
    const stage = (i: number): string =>
      `FROM ${i === 0 ? "a" : `s${i - 1}`} AS s${i}\n${"ENV A=b\nRUN echo $A\nCOPY x /y\n".repeat(3)}`;
    const text = Array.from({ length: 200 }, (_, i) => stage(i)).join("");
    await convertText(text);
    // CPU time: others may use the machine as well.
    const start = process.cpuUsage();
    const { definition } = await convertText(text);
    const { user, system } = process.cpuUsage(start);
    const elapsedMs = (user + system) / 1000;
    assert.equal(definition.def.length, 200 * 6 + 3);
    assert.ok(elapsedMs < 1000, `${elapsedMs} ms`);
  });

  test("stops when it is aborted", async () => {
    const controller = new AbortController();
    controller.abort(new BuildError("canceled", "enough"));
    const waiting = {
      resolveImage: (_ref: string, _request: object, options: { signal: AbortSignal }): Promise<never> => {
        options.signal.throwIfAborted();
        return Promise.reject(new Error("was not aborted"));
      },
    };
    const dockerfile = new TextEncoder().encode("FROM a\n");
    await assert.rejects(dockerfileToLlb({ dockerfile, world: waiting, signal: controller.signal }), {
      code: "canceled",
    });
  });

  test("throws nothing but BuildError", async () => {
    const line = fc.constantFrom(
      ...'FROM a AS b|FROM scratch|FROM b|FROM $X|RUN x|RUN --mount=type=cache,target=/x y|RUN --mount=from=b,target=/ z|COPY --from=b x y|COPY --from=0 x y|COPY --link a b|ADD http://x/y z|ADD http://x/y.git#a:b z|WORKDIR ../..|ENV A=${B:-$C}|ARG A|ARG A=${A#*}|EXPOSE 1-3/udp|EXPOSE x|ONBUILD COPY --from=b a b|USER u|VOLUME []|CMD []|ENTRYPOINT ["a"]|SHELL ["a"]|HEALTHCHECK CMD x|LABEL a=b|STOPSIGNAL 9|COPY <<E /f|E|HEALTHCHECK NONE|COPY --chmod=u+x a b|COPY --parents a/./b c|MAINTAINER'.split(
        "|",
      ),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(line, { maxLength: 12 }), async (lines) => {
        await convertText(`${lines.join("\n")}\n`).catch((error: unknown) =>
          assert.ok(error instanceof BuildError, String(error)),
        );
      }),
      { numRuns: 1000 },
    );
  });
});
