import type { Static, TSchema } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { type ValueError, ValueErrorType } from "@sinclair/typebox/errors";
import { EngineError, type Problem } from "../../errors.ts";

/** Returns the value as the model's, or throws `EngineError("invalid")` with an RFC 6901 pointer to each thing that is wrong. */
export type BodyCheck<T> = (value: unknown) => T;

const problemsMax = 20;

/** A check for a model. `what` names the whole in messages, as in "The job". */
export function createBodyCheck<S extends TSchema>(model: S, what: string): BodyCheck<Static<S>> {
  const compiled = TypeCompiler.Compile(model);
  return (value) => {
    if (compiled.Check(value)) return value;
    const byPlace = new Map<string, Problem>();
    for (const error of compiled.Errors(value)) {
      // One thing that is wrong can break several rules; the first says most.
      if (!byPlace.has(error.path)) byPlace.set(error.path, { pointer: error.path, detail: wordsFor(error) });
      if (byPlace.size >= problemsMax) break;
    }
    throw invalid(what, [...byPlace.values()]);
  };
}

/** The refusal of a body, with every problem that was found. */
export function invalid(what: string, problems: Problem[]): EngineError {
  const [first] = problems;
  const more = problems.length > 1 ? `, and ${problems.length - 1} more` : "";
  const where = first === undefined || first.pointer === "" ? what : `${what}: ${first.pointer}`;
  const detail = first === undefined ? `${what} is not valid` : `${where} ${first.detail}${more}`;
  return new EngineError("invalid", detail, { problems });
}

type Wording = (schema: Record<string, unknown>) => string;

const wordings: Partial<Record<ValueErrorType, Wording>> = {
  [ValueErrorType.ObjectAdditionalProperties]: () => "is not known",
  [ValueErrorType.ObjectRequiredProperty]: () => "is missing",
  [ValueErrorType.Object]: () => "must be an object",
  [ValueErrorType.Array]: () => "must be an array",
  [ValueErrorType.ArrayMinItems]: ({ minItems }) => `must have at least ${minItems} items`,
  [ValueErrorType.ArrayMaxItems]: ({ maxItems }) => `must have at most ${maxItems} items`,
  [ValueErrorType.ArrayUniqueItems]: () => "must not repeat an item",
  [ValueErrorType.String]: () => "must be a text",
  [ValueErrorType.StringMinLength]: ({ minLength }) => `must have at least ${minLength} characters`,
  [ValueErrorType.StringMaxLength]: ({ maxLength }) => `must have at most ${maxLength} characters`,
  [ValueErrorType.StringPattern]: ({ description }) => `must be ${description}`,
  [ValueErrorType.StringFormat]: () => "must be a time like 2026-01-31T12:00:00Z",
  [ValueErrorType.Boolean]: () => "must be true or false",
  [ValueErrorType.Number]: () => "must be a number",
  [ValueErrorType.NumberMinimum]: ({ minimum }) => `must be at least ${minimum}`,
  [ValueErrorType.NumberMaximum]: ({ maximum }) => `must be at most ${maximum}`,
  [ValueErrorType.Integer]: () => "must be a whole number",
  [ValueErrorType.IntegerMinimum]: ({ minimum }) => `must be at least ${minimum}`,
  [ValueErrorType.IntegerMaximum]: ({ maximum }) => `must be at most ${maximum}`,
};

function wordsFor(error: ValueError): string {
  const known = wordings[error.type]?.(error.schema);
  if (known !== undefined) return known;
  if (Array.isArray(error.schema.enum)) return `must be one of ${error.schema.enum.join(", ")}`;
  const { description } = error.schema;
  return description === undefined ? "is not valid" : `must be ${description}`;
}
