import { parseDuration, quote } from "@buildkit-ts/gotext";
import type { HealthConfig } from "@buildkit-ts/oci";
import type { ParsedLine } from "../parser/parsed-line.ts";
import { invalid } from "../text/located-error.ts";
import { trimSpace } from "../text/whitespace.ts";
import { commandArguments, rejectFlags } from "./command-line.ts";
import { Flags } from "./flags.ts";
import type {
  ArgInstruction,
  ExposeInstruction,
  HealthcheckInstruction,
  KeyValue,
  MaintainerInstruction,
  OnbuildInstruction,
  StopsignalInstruction,
  UserInstruction,
  VolumeInstruction,
  WorkdirInstruction,
} from "./instruction.ts";
import { baseOf, descriptionFor, onlyArgument, requireArguments } from "./instruction-base.ts";

/** Reads the pairs of ENV and LABEL. */
export function readPairs(line: ParsedLine, instruction: string): readonly KeyValue[] {
  rejectFlags(line);
  requireArguments(line, instruction);
  const pairs: KeyValue[] = [];
  for (let i = 0; i < line.args.length; i += 3) {
    const [key = "", value = "", separator = ""] = line.args.slice(i, i + 3);
    if (key === "") throw invalid(`${instruction} names can not be blank`);
    pairs.push({ key, value, legacy: separator === "" });
  }
  return pairs;
}

/** Reads MAINTAINER. */
export function readMaintainer(line: ParsedLine): MaintainerInstruction {
  const maintainer = onlyArgument(line, "MAINTAINER");
  rejectFlags(line);
  return { ...baseOf(line), kind: "maintainer", maintainer };
}

/** Reads ONBUILD; the trigger stays text until a stage is built on this one. */
export function readOnbuild(line: ParsedLine): OnbuildInstruction {
  requireArguments(line, "ONBUILD");
  rejectFlags(line);
  const trigger = trimSpace(line.args[0] ?? "").toUpperCase();
  if (trigger === "ONBUILD") throw invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
  if (trigger === "MAINTAINER" || trigger === "FROM") throw invalid(`${trigger} isn't allowed as an ONBUILD trigger`);
  const documents = line.heredocs.map((heredoc) => `\n${heredoc.content}${heredoc.name}`).join("");
  const expression = line.original.replace(/^[\t\n\f\r ]*ONBUILD[\t\n\f\r ]*/i, "") + documents;
  return { ...baseOf(line), kind: "onbuild", expression };
}

/** Reads WORKDIR. */
export function readWorkdir(line: ParsedLine): WorkdirInstruction {
  const path = onlyArgument(line, "WORKDIR");
  rejectFlags(line);
  return { ...baseOf(line), kind: "workdir", path };
}

/** Reads USER. */
export function readUser(line: ParsedLine): UserInstruction {
  const user = onlyArgument(line, "USER");
  rejectFlags(line);
  return { ...baseOf(line), kind: "user", user };
}

/** Reads STOPSIGNAL. */
export function readStopsignal(line: ParsedLine): StopsignalInstruction {
  return { ...baseOf(line), kind: "stopsignal", signal: onlyArgument(line, "STOPSIGNAL") };
}

/** Reads EXPOSE; ports are sorted as text. */
export function readExpose(line: ParsedLine): ExposeInstruction {
  requireArguments(line, "EXPOSE");
  rejectFlags(line);
  return { ...baseOf(line), kind: "expose", ports: line.args.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0)) };
}

/** Reads VOLUME. */
export function readVolume(line: ParsedLine): VolumeInstruction {
  requireArguments(line, "VOLUME");
  rejectFlags(line);
  const volumes = line.args.map(trimSpace);
  if (volumes.includes("")) throw invalid("VOLUME specified can not be an empty string");
  return { ...baseOf(line), kind: "volume", volumes };
}

/** Reads ARG. */
export function readArg(line: ParsedLine): ArgInstruction {
  requireArguments(line, "ARG");
  const args = line.args.map((word) => {
    const at = word.indexOf("=");
    if (at === 0) throw invalid("ARG names can not be blank");
    const key = at < 0 ? word : word.slice(0, at);
    return { key, value: at < 0 ? undefined : word.slice(at + 1), description: descriptionFor(line.comments, key) };
  });
  return { ...baseOf(line), kind: "arg", args };
}

/** Reads HEALTHCHECK. */
export function readHealthcheck(line: ParsedLine): HealthcheckInstruction {
  requireArguments(line, "HEALTHCHECK");
  const [first = "", ...rest] = line.args;
  const type = first.toUpperCase();
  return { ...baseOf(line), kind: "healthcheck", health: type === "NONE" ? none(rest) : readHealth(line, type) };
}

function none(rest: readonly string[]): HealthConfig {
  if (rest.length > 0) throw invalid("HEALTHCHECK NONE takes no arguments");
  return { Test: ["NONE"] };
}

function readHealth(line: ParsedLine, type: string): HealthConfig {
  const flags = new Flags(line.flags, {
    interval: "string",
    timeout: "string",
    "start-period": "string",
    "start-interval": "string",
    retries: "string",
  });
  if (type !== "CMD") throw invalid(`Unknown type ${quote(type)} in HEALTHCHECK (try CMD)`);
  const command = commandArguments(line.args.slice(1), line.json);
  if (command.length === 0) throw invalid("Missing command after HEALTHCHECK CMD");
  return {
    Test: [line.json ? "CMD" : "CMD-SHELL", ...command],
    Interval: interval(flags, "interval"),
    Timeout: interval(flags, "timeout"),
    StartPeriod: interval(flags, "start-period"),
    StartInterval: interval(flags, "start-interval"),
    Retries: retries(flags.string("retries")),
  };
}

function interval(flags: Flags, name: string): number {
  const text = flags.string(name);
  if (text === "") return 0;
  const { nanoseconds, problem } = parseDuration(text);
  if (problem !== undefined) throw invalid(problem);
  if (nanoseconds !== 0 && nanoseconds < 1e6) throw invalid(`Interval ${quote(name)} cannot be less than 1ms`);
  return nanoseconds;
}

function retries(text: string): number {
  if (text === "") return 0;
  const number = /^[-+]?\d+$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isNaN(number)) throw invalid(`strconv.ParseInt: parsing ${quote(text)}: invalid syntax`);
  if (Math.abs(number) > 2 ** 31 - 1) throw invalid(`strconv.ParseInt: parsing ${quote(text)}: value out of range`);
  if (number < 0) throw invalid(`--retries cannot be negative (${number})`);
  return number;
}
