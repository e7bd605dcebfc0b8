import { clone, create } from "@bufbuild/protobuf";
import { gatewaypb, opspb, policypb, policysessionpb } from "@buildkit-ts/api";
import { BuildError, PolicyDeniedError } from "@buildkit-ts/errdefs";
import { callUnary, type SessionManager } from "@buildkit-ts/session";
import { canonicalIdentifier } from "@buildkit-ts/sources";
import { PolicyRules } from "./policy-rules.ts";

/** How often a client's policy may ask or change something for one source. */
const maxQuestions = 10;

/** What a policy works with. */
export interface SourcePolicyOptions {
  readonly policies: readonly policypb.Policy[];
  /** The session whose client decides about each source; empty for none. */
  readonly session: string;
  readonly sessions: Pick<SessionManager, "get">;
}

/** What evaluating one source needs. */
export interface PolicyContext {
  readonly signal: AbortSignal;
  /** Answers what the client's policy wants to know of the source, without asking the policy again. */
  resolve(request: gatewaypb.ResolveSourceMetaRequest): Promise<gatewaypb.ResolveSourceMetaResponse>;
}

/** What a build may use as its sources: rules that came with it, and a client that is asked about each one. */
export class SourcePolicy {
  readonly #options: SourcePolicyOptions;
  readonly #rules: PolicyRules;

  /** @throws {BuildError} `invalid_argument`, for rules that are none. */
  constructor(options: SourcePolicyOptions) {
    this.#options = options;
    this.#rules = new PolicyRules(options.policies);
  }

  /** Whether there is anything to evaluate. */
  get isEmpty(): boolean {
    return this.#options.policies.length === 0 && this.#options.session === "";
  }

  /** This one and further rules, such as those of a frontend. */
  with(policies: readonly policypb.Policy[]): SourcePolicy {
    if (policies.length === 0) return this;
    return new SourcePolicy({ ...this.#options, policies: [...this.#options.policies, ...policies] });
  }

  /** Without the client's part. */
  withoutSession(): SourcePolicy {
    return new SourcePolicy({ ...this.#options, session: "" });
  }

  /**
   * Changes the op's source in place; tells whether it did.
   *
   * @throws {BuildError} `permission_denied`, for a source that is not allowed.
   */
  async evaluate(op: opspb.Op, context: PolicyContext): Promise<boolean> {
    if (op.op.case !== "source" || this.isEmpty) return false;
    const source = clone(opspb.SourceOpSchema, op.op.value);
    // Rules are written for one spelling; the op keeps its own unless it is changed.
    source.identifier = canonicalIdentifier(source.identifier, source.attrs);
    let isChanged = this.#rules.evaluate(source);
    for (let questions = maxQuestions; this.#options.session !== ""; ) {
      const asked = await this.#ask({ source, platform: op.platform, questions }, context);
      questions = asked.questionsLeft;
      if (asked.update === undefined) break;
      source.identifier = canonicalIdentifier(asked.update.identifier, asked.update.attrs);
      source.attrs = asked.update.attrs;
      this.#rules.evaluate(source);
      isChanged = true;
    }
    if (isChanged) Object.assign(op.op.value, { identifier: source.identifier, attrs: source.attrs });
    return isChanged;
  }

  /** Asks the client until it decides. */
  async #ask(
    subject: {
      readonly source: opspb.SourceOp;
      readonly platform: opspb.Platform | undefined;
      readonly questions: number;
    },
    context: PolicyContext,
  ): Promise<{ readonly update: opspb.SourceOp | undefined; readonly questionsLeft: number }> {
    const { source, platform } = subject;
    let known = create(gatewaypb.ResolveSourceMetaResponseSchema, { Source: source });
    for (let left = subject.questions - 1; left >= 0; left -= 1) {
      const { result } = await this.#check({ platform, known }, context.signal);
      if (result.case === "decision") return { update: decide(source, result.value), questionsLeft: left };
      if (result.case !== "request") throw new BuildError("invalid_argument", "no decision in policy response");
      checkSameSource(source, result.value.Source);
      try {
        known = await context.resolve(result.value);
      } catch (error) {
        const { code, message } = BuildError.from(error);
        const text = `error resolving source metadata from policy request: ${message}`;
        throw new BuildError(code, text, { cause: error });
      }
    }
    throw new BuildError("failed_precondition", "too many policy requests");
  }

  async #check(
    question: {
      readonly platform: opspb.Platform | undefined;
      readonly known: gatewaypb.ResolveSourceMetaResponse;
    },
    signal: AbortSignal,
  ): Promise<policysessionpb.CheckPolicyResponse> {
    const caller = await this.#options.sessions.get(this.#options.session, { signal });
    const { platform, known: Source } = question;
    const request = { Source, ...(platform !== undefined && { Platform: platform }) };
    const call = { method: policysessionpb.PolicyVerifier.method.checkPolicy, request };
    return await callUnary(caller.http2, call, { signal: AbortSignal.any([signal, caller.closed]) });
  }
}

/** The source to go on with; undefined, if it is allowed as it is. */
function decide(source: opspb.SourceOp, decision: policysessionpb.DecisionResponse): opspb.SourceOp | undefined {
  if (decision.action === policypb.PolicyAction.ALLOW) return undefined;
  if (decision.action === policypb.PolicyAction.CONVERT) {
    if (decision.update === undefined)
      throw new BuildError("invalid_argument", "convert action requires updated source");
    return decision.update;
  }
  const action = decision.action === policypb.PolicyAction.DENY ? "DENY" : String(Number(decision.action));
  throw new PolicyDeniedError(`source ${JSON.stringify(source.identifier)} not allowed by policy: action ${action}`, {
    denyMessages: decision.denyMessages.map(({ message }) => message),
  });
}

/** What a policy asks about is the source that is in question, and no other. */
function checkSameSource(source: opspb.SourceOp, asked: opspb.SourceOp | undefined): void {
  if (asked?.identifier !== source.identifier)
    throw new BuildError(
      "invalid_argument",
      `policy requested different source identifier: ${JSON.stringify(asked?.identifier ?? "")} != ${JSON.stringify(source.identifier)}`,
    );
  const entries = Object.entries(source.attrs);
  const isSame =
    entries.length === Object.keys(asked.attrs).length && entries.every(([key, value]) => asked.attrs[key] === value);
  if (!isSame) throw new BuildError("invalid_argument", "policy requested different source attrs");
}
