/** Says that a result cannot be made ready for use: its content is gone, or whoever has it does not answer. */
export class LostResult extends Error {
  override readonly name = "LostResult";

  constructor(cause: unknown) {
    super("The content of a result is lost", { cause });
  }
}
