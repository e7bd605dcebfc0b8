import type { ErrorReporter } from "@buildkit-ts/async";
import { BuildError } from "@buildkit-ts/errdefs";
import type { ContentListing, Explainer, Explanation, MissedStep } from "@buildkit-ts/solver";
import { explainMiss } from "./explain-miss.ts";
import { findNearest } from "./nearest-step.ts";
import { identify, type RecordedInput, type RecordedStep } from "./step-record.ts";
import { opKey, type StepQuery, type StepStore } from "./step-store.ts";

export interface StepExplainerOptions {
  readonly store: StepStore;
  readonly reporter: ErrorReporter;
  /** Whether a result can still be loaded. */
  readonly exists: (result: string) => boolean;
  /** Names the project of the build; empty if that is not known. Equal places in different projects are different steps. */
  readonly projectOf: (step: MissedStep) => string;
}

/** Explains misses by the records of a {@linkcode StepStore}. */
export class StepExplainer implements Explainer {
  readonly #options: StepExplainerOptions;

  constructor(options: StepExplainerOptions) {
    this.#options = options;
  }

  async explain(step: MissedStep): Promise<Explanation> {
    const { store, exists } = this.#options;
    const query = this.#queryOf(step);
    const nearest = findNearest(query, store.candidates(query));
    const stored = nearest === undefined ? undefined : store.find(nearest);
    const isPresent = stored?.goneAt === undefined && stored !== undefined && exists(stored.result);
    return await explainMiss(step, { stored, isPresent, listings: store.listings });
  }

  async record(step: MissedStep, result: string): Promise<void> {
    const listings: ContentListing[] = [];
    const inputs: RecordedInput[] = [];
    for (const input of step.inputs) {
      const listing = await this.#list(step, input.list);
      if (listing !== undefined) listings.push(listing);
      inputs.push({
        name: input.vertex.name,
        location: input.vertex.location,
        links: input.links(),
        content: input.content,
        listing: listing?.root,
      });
    }
    const { name, location } = step.vertex;
    const { kind, fields } = step.description;
    const recorded: RecordedStep = {
      name,
      location,
      kind,
      inputs,
      digests: step.digests,
      fields: Object.fromEntries(fields),
    };
    this.#options.store.add(result, this.#queryOf(step), { step: recorded, listings });
  }

  async #list(
    step: MissedStep,
    list: (() => Promise<ContentListing>) | undefined,
  ): Promise<ContentListing | undefined> {
    try {
      return await list?.();
    } catch (error) {
      // Without the list a later miss says that files changed, only not which.
      if (BuildError.from(error).code === "resource_exhausted") return undefined;
      this.#options.reporter.report(error, `list of what "${step.vertex.name}" has read`);
      return undefined;
    }
  }

  #queryOf(step: MissedStep): StepQuery {
    const identity = identify(step.vertex.name, step.description.kind, this.#options.projectOf(step));
    return { ...identity, op: opKey(step.digests), parents: step.inputs[0]?.links() ?? [] };
  }
}
