/** One thing that is wrong with a body, in the form of pydantic 2, which the original's clients read. */
export type BodyProblem = {
  type: string;
  loc: (string | number)[];
  msg: string;
  input: unknown;
  ctx?: Record<string, unknown>;
};

const problemsMax = 100;
const inputCharsMax = 2_000;
const secretNames: ReadonlySet<string> = new Set(["secure_parameters", "api_key", "callback_url"]);

/** The 422 of FastAPI: `{"detail": [...]}`. */
export function invalidBody(problems: BodyProblem[]): Response {
  const detail = problems.slice(0, problemsMax).map((problem) => {
    const isSecret = problem.loc.some((part) => secretNames.has(String(part)));
    return { ...problem, input: isSecret ? null : bounded(problem.input) };
  });
  return Response.json({ detail }, { status: 422 });
}

export function wrongType(loc: BodyProblem["loc"], kind: keyof typeof typeTexts, input: unknown): BodyProblem {
  return { type: `${kind}_type`, loc, msg: `Input should be a valid ${typeTexts[kind]}`, input };
}

export function missing(loc: BodyProblem["loc"], input: unknown): BodyProblem {
  return { type: "missing", loc, msg: "Field required", input };
}

export function wrongValue(loc: BodyProblem["loc"], why: string, input: unknown): BodyProblem {
  return { type: "value_error", loc, msg: `Value error, ${why}`, input, ctx: { error: {} } };
}

export function tooLong(loc: BodyProblem["loc"], max: number, input: readonly unknown[]): BodyProblem {
  const actual = input.length;
  return {
    type: "too_long",
    loc,
    msg: `List should have at most ${max} items after validation, not ${actual}`,
    input,
    ctx: { field_type: "List", max_length: max, actual_length: actual },
  };
}

/** A body that is no JSON. */
export function notJson(reason: string): BodyProblem {
  return { type: "json_invalid", loc: ["body", 0], msg: "JSON decode error", input: {}, ctx: { error: reason } };
}

const typeTexts = {
  string: "string",
  list: "list",
  dict: "dictionary",
  int: "integer",
  bool: "boolean",
  model_attributes: "dictionary or object to extract fields from",
};

/** What was sent is shown as it was, less its secrets, unless there is much of it: the answer must not be larger than the question. */
function bounded(input: unknown): unknown {
  const text = JSON.stringify(input, withoutSecrets) ?? "null";
  return text.length <= inputCharsMax ? JSON.parse(text) : `${text.slice(0, inputCharsMax)}…`;
}

function withoutSecrets(name: string, value: unknown): unknown {
  return secretNames.has(name) && value !== null ? "***" : value;
}
