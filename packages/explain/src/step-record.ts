import type { Digest } from "@buildkit-ts/oci";

/** What a record of a step was known by, on one of its inputs. */
export interface RecordedInput {
  readonly name: string;
  readonly location: string | undefined;
  /** Names of the keys, with selectors, by which the input led to the record. */
  readonly links: readonly string[];
  readonly content: Digest | undefined;
  /** The files that the content stands for; undefined where they were not listed, or are no longer kept. */
  readonly listing: Digest | undefined;
}

/** What a record of a step was known by: the components of its keys. */
export interface RecordedStep {
  readonly name: string;
  readonly location: string | undefined;
  readonly kind: string;
  readonly digests: readonly Digest[];
  readonly fields: Readonly<Record<string, string>>;
  readonly inputs: readonly RecordedInput[];
}

/** A step as it was kept. */
export interface StoredStep {
  readonly id: number;
  /** The id of its result. */
  readonly result: string;
  readonly recordedAt: number;
  /** When its result was removed; undefined while it is there. */
  readonly goneAt: number | undefined;
  readonly project: string;
  readonly step: RecordedStep;
}

/** What steps are looked for by, besides what they do: which step of which stage they are. */
export interface StepIdentity {
  readonly kind: string;
  /** What the step does, without its number. */
  readonly title: string;
  /** Its stage and number, such as `build 3`; undefined for a step without them. */
  readonly place: string | undefined;
  /** The project that the build belongs to; empty if that is not known. */
  readonly project: string;
}

/** Of a step's name: `[build 3/5] RUN make` is `RUN make` at `build 3`. */
export function identify(name: string, kind: string, project: string): StepIdentity {
  const parts = /^\[(?:(?<stage>[^\]]*?) )?(?<number>\d+)\/\d+\] (?<title>.*)$/s.exec(name)?.groups;
  const place = parts === undefined ? undefined : `${parts["stage"] ?? ""} ${parts["number"] ?? ""}`;
  return { kind, title: parts?.["title"] ?? name, place, project };
}
