/** One call in a stack, as BuildKit's clients read it. */
export interface StackFrame {
  readonly Name: string;
  readonly File: string;
  readonly Line: number;
}

const maxFrames = 32;

/** The calls in a JavaScript error's `stack`, the innermost first. Calls without a line in a file are left out. */
export function stackFrames(stack: string): StackFrame[] {
  const frames: StackFrame[] = [];
  for (const line of stack.split("\n")) {
    const match = /^ {4}at (?:async )?(?:(.+) \()?(?:file:\/\/)?([^()]+):(\d+):\d+\)?$/.exec(line);
    if (match === null) continue;
    const [, name = "<anonymous>", file = "", number = ""] = match;
    frames.push({ Name: name, File: file, Line: Number(number) });
    if (frames.length === maxFrames) break;
  }
  return frames;
}
