import { lexPython, type Token } from "./python-lexer.ts";
import { PythonSyntaxError } from "./python-syntax-error.ts";

/** A place in the tokens of one expression. The methods that take move it; a refused expectation throws `PythonSyntaxError`. */
export class PythonCursor {
  readonly #tokens: Token[];
  #index = 0;
  #depth = 0;

  constructor(
    text: string,
    readonly depthMax: number,
  ) {
    this.#tokens = lexPython(text);
  }

  peek(ahead = 0): Token {
    return this.#tokens[this.#index + ahead] ?? { kind: "end", at: this.#tokens.at(-1)?.at ?? 0 };
  }

  next(): Token {
    const token = this.peek();
    this.#index += 1;
    return token;
  }

  isOperator(text: string, ahead = 0): boolean {
    const token = this.peek(ahead);
    return token.kind === "operator" && token.text === text;
  }

  takeOperator(text: string): boolean {
    const found = this.isOperator(text);
    if (found) this.#index += 1;
    return found;
  }

  expectOperator(text: string): void {
    if (!this.takeOperator(text)) throw new PythonSyntaxError(`Expected "${text}"`, this.peek().at);
  }

  takeName(text: string): boolean {
    const token = this.peek();
    const found = token.kind === "name" && token.text === text;
    if (found) this.#index += 1;
    return found;
  }

  /** `name=`, as before the value of a keyword argument; both tokens are taken. */
  takeKeyword(): string | null {
    const token = this.peek();
    if (token.kind !== "name" || !this.isOperator("=", 1)) return null;
    this.#index += 2;
    return token.text;
  }

  /** String literals that follow each other are one string, as in Python. */
  takeStrings(): string {
    let text = "";
    for (let token = this.peek(); token.kind === "string"; token = this.peek()) {
      text += token.value;
      this.#index += 1;
    }
    return text;
  }

  expectEnd(): void {
    const rest = this.peek();
    if (rest.kind !== "end") throw new PythonSyntaxError("Something follows the end of the expression", rest.at);
  }

  /** Runs `read` one level deeper, so that hostile nesting ends with an error instead of a full stack. */
  deeper<T>(read: () => T): T {
    this.#depth += 1;
    if (this.#depth > this.depthMax) throw new PythonSyntaxError("This is nested too deeply", this.peek().at);
    const value = read();
    this.#depth -= 1;
    return value;
  }
}
