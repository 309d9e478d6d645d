/** A text that is not in the small Python grammar. `at` is the offset where reading stopped. */
export class PythonSyntaxError extends Error {
  override readonly name = "PythonSyntaxError";
  constructor(
    readonly what: string,
    readonly at: number,
  ) {
    super(`${what} at character ${at + 1}`);
  }
}
