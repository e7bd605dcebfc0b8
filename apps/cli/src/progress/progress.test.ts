import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { StatusResponseSchema } from "@buildkit-ts/api/buildkit/control";
import { PlainPrinter, printErrorLogs } from "./plain-printer.ts";
import { ProgressTrace } from "./progress-trace.ts";
import { statusToJson } from "./status-json.ts";
import { TerminalPrinter } from "./terminal-printer.ts";
import { TerminalWindow } from "./terminal-window.ts";

const at = (ms: number) => timestampFromMs(1_700_000_000_000 + ms);
const status = (message: MessageInitShape<typeof StatusResponseSchema>) => create(StatusResponseSchema, message);
const log = (vertex: string, ms: number, text: string) => ({
  vertex,
  timestamp: at(ms),
  stream: 1n,
  msg: Buffer.from(text),
});

const build = [
  status({ vertexes: [{ digest: "a", name: "[internal] load build definition", started: at(0) }] }),
  status({
    statuses: [
      {
        ID: "transferring dockerfile:",
        vertex: "a",
        current: 1234n,
        timestamp: at(80),
        started: at(0),
        completed: at(80),
      },
    ],
    vertexes: [{ digest: "a", name: "[internal] load build definition", started: at(0), completed: at(100) }],
  }),
  status({
    vertexes: [{ digest: "b", name: "[1/3] FROM busybox", started: at(100), completed: at(101), cached: true }],
  }),
  status({ vertexes: [{ digest: "c", name: "[2/3] RUN one", started: at(200) }] }),
  status({ logs: [log("c", 323, "first\nsec")] }),
  status({ logs: [log("c", 400, "ond\n")], warnings: [{ vertex: "c", short: Buffer.from("careful") }] }),
  status({
    vertexes: [{ digest: "c", name: "[2/3] RUN one", started: at(200), completed: at(1500), error: "exit code: 1" }],
  }),
  status({
    vertexes: [
      { digest: "d", name: "[3/3] RUN two", started: at(200), completed: at(1600), error: "context canceled" },
    ],
  }),
];

suite("PlainPrinter", () => {
  test("print() writes BuildKit's lines", () => {
    const trace = new ProgressTrace({ withWindows: false });
    let text = "";
    const printer = new PlainPrinter((part) => {
      text += part.toString();
    });
    for (const message of build) {
      trace.update(message);
      printer.print(trace);
    }
    printErrorLogs(trace, (part) => {
      text += part.toString();
    });
    assert.equal(
      text,
      `#1 [internal] load build definition
#1 transferring dockerfile: 1.23kB 0.1s done
#1 DONE 0.1s

#2 [1/3] FROM busybox
#2 CACHED

#3 [2/3] RUN one
#3 0.123 first
#3 0.123 sec
#3 WARN: careful
#3 0.123 second
#3 ERROR: exit code: 1

#4 [3/3] RUN two
#4 CANCELED
------
 > [2/3] RUN one:
0.123 first
0.123 second
------
`,
    );
  });
});

suite("TerminalPrinter", () => {
  test("draw() overwrites its last frame and never passes the screen's height", () => {
    const trace = new ProgressTrace({ withWindows: true });
    const frames: string[] = [];
    const terminal = { columns: 60, rows: 12, write: (text: string) => frames.push(text) };
    const printer = new TerminalPrinter(terminal, { run: "", cancel: "", error: "", warning: "" }, 6);
    for (const message of build) {
      trace.update(message);
      printer.draw(trace, { isLast: false });
    }
    for (const [index, frame] of frames.entries()) {
      assert.ok(frame.split("\n").length <= 13);
      const rows = (frames[index - 1]?.split("\n").length ?? 1) - 1;
      assert.ok(rows === 0 || frame.includes(`\u001b[${rows}A`));
    }
    assert.match(frames.at(-1) ?? "", /ERROR \[2\/3\] RUN one .*1\.3s/);
  });
});

suite("TerminalWindow", () => {
  test("lastLines() shows what a terminal would", () => {
    const window = new TerminalWindow();
    window.write(Buffer.from("10%\r50%\r100%\n\u001b[31mred\u001b[0m\ntwo\nlines\u001b[1A\r\u001b[Kone\u001b["));
    window.write(Buffer.from("1Bx\ntab\tend\b\b\bE"));
    assert.deepEqual(window.lastLines(10), ["100%", "red", "one", "linxs", "tab     End"]);
  });
});

suite("statusToJson()", () => {
  test("writes what Go's client writes", () => {
    assert.equal(
      statusToJson(status({ logs: [{ vertex: "a", stream: 2n, msg: Buffer.from("<x>"), timestamp: at(1.5) }] })),
      '{"logs":[{"vertex":"a","stream":2,"data":"PHg+","timestamp":"2023-11-14T22:13:20.0015Z"}]}',
    );
  });
});
