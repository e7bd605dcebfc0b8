import { chompHeredoc, findHeredoc } from "../parser/heredoc.ts";
import type { ParsedLine } from "../parser/parsed-line.ts";
import { invalid } from "../text/located-error.ts";
import { Flags } from "./flags.ts";
import type { AddInstruction, CopyInstruction, InlineSource, Transfer } from "./instruction.ts";
import { baseOf } from "./instruction-base.ts";

/** Reads ADD. */
export function readAdd(line: ParsedLine): AddInstruction {
  requireDestination(line, "ADD");
  const flags = new Flags(line.flags, {
    chown: "string",
    chmod: "string",
    link: "bool",
    "keep-git-dir": "bool",
    checksum: "string",
    unpack: "bool",
    exclude: "list",
  });
  return {
    ...baseOf(line),
    ...readTransfer(line, flags, "ADD"),
    kind: "add",
    keepGitDir: flags.bool("keep-git-dir"),
    checksum: flags.string("checksum"),
    unpack: flags.bool("unpack"),
  };
}

/** Reads COPY. */
export function readCopy(line: ParsedLine): CopyInstruction {
  requireDestination(line, "COPY");
  const flags = new Flags(line.flags, {
    chown: "string",
    from: "string",
    chmod: "string",
    link: "bool",
    exclude: "list",
    parents: "bool",
  });
  return {
    ...baseOf(line),
    ...readTransfer(line, flags, "COPY"),
    kind: "copy",
    from: flags.string("from"),
    parents: flags.bool("parents") ?? false,
  };
}

function requireDestination(line: ParsedLine, instruction: string): void {
  if (line.args.length < 2)
    throw invalid(
      `${instruction} requires at least two arguments, but only one was provided. Destination could not be determined`,
    );
}

function readTransfer(line: ParsedLine, flags: Flags, instruction: string): Transfer {
  const destination = line.args.at(-1) ?? "";
  if (findHeredoc(destination) !== undefined) throw invalid(`${instruction} cannot accept a heredoc as a destination`);
  const contents = new Map(line.heredocs.map((heredoc) => [heredoc.name, heredoc.content]));
  const sources: string[] = [];
  const inline: InlineSource[] = [];
  for (const source of line.args.slice(0, -1)) {
    const heredoc = findHeredoc(source);
    if (heredoc === undefined) {
      sources.push(source);
      continue;
    }
    const content = contents.get(heredoc.name) ?? "";
    inline.push({
      path: heredoc.name,
      data: heredoc.chomp ? chompHeredoc(content) : content,
      expand: heredoc.expand,
    });
  }
  return {
    sources,
    inline,
    destination,
    chown: flags.string("chown"),
    chmod: flags.string("chmod"),
    link: flags.bool("link") ?? false,
    exclude: flags.list("exclude"),
  };
}
