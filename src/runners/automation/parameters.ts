import { parameterNameProblem, readSecureParameter } from "./document.ts";
import type { ParameterLists, Scalar, SecureParameter } from "./document-model.ts";
import { isObject } from "./field-reader.ts";

/** What an automation declares: the names of its parameters, with values as examples. */
export type DeclaredParameters = { input: ParameterLists; secure: Record<string, SecureParameter[]> };

const valuesMax = 100_000;

/**
 * Everything that is wrong with the input parameters of a task, in words: not lists, values that are no scalars, names
 * that the automation does not declare, declared names that are missing. Empty when they fit.
 */
export function inputProblems(declared: DeclaredParameters, input: unknown): string[] {
  if (!isObject(input)) return ["input_parameters must be an object of lists"];
  const problems: string[] = [];
  for (const [name, values] of Object.entries(input)) {
    const wrongName = parameterNameProblem(name);
    if (wrongName !== null) problems.push(wrongName);
    if (!Array.isArray(values)) problems.push(`"${name}" must be a list, as in ["value"]`);
    else if (values.length > valuesMax) problems.push(`"${name}" has more than ${valuesMax} values`);
    else if (!values.every(isScalar)) problems.push(`the values of "${name}" must be texts, numbers, true or false`);
  }
  return [...problems, ...keyProblems(declared.input, input)];
}

/** What is wrong with a task's secure parameters, which must name exactly what the document declares. */
export function secureProblems(declared: DeclaredParameters, given: unknown): string[] {
  if (!isObject(given)) return ["secure_parameters must be an object of lists"];
  const wrong = Object.entries(given).flatMap(([name, values]) =>
    Array.isArray(values) && values.every((value) => readSecureParameter(value) !== undefined)
      ? []
      : [`secure parameter "${name}" must be a list of objects with one of totp, onepassword, amazon_secrets_manager`],
  );
  return [...wrong, ...keyProblems(declared.secure, given)];
}

/** Secure parameters that `secureProblems` found nothing wrong with. */
export function readSecureParameters(given: Record<string, unknown[]>): Record<string, SecureParameter[]> {
  const lists = Object.entries(given).map(([name, values]) => [
    name,
    values.map(readSecureParameter).filter((value) => value !== undefined),
  ]);
  return Object.fromEntries(lists);
}

function keyProblems(declared: object, given: object): string[] {
  const missing = Object.keys(declared).filter((name) => !Object.hasOwn(given, name));
  const extra = Object.keys(given).filter((name) => !Object.hasOwn(declared, name));
  return [
    ...(missing.length > 0 ? [`missing parameters: ${missing.join(", ")}`] : []),
    ...(extra.length > 0
      ? [`unknown parameters: ${extra.join(", ")} (the automation has ${declaredText(declared)})`]
      : []),
  ];
}

function declaredText(declared: object): string {
  return Object.keys(declared).join(", ") || "none";
}

function isScalar(value: unknown): value is Scalar {
  return (
    typeof value === "string" || typeof value === "boolean" || (typeof value === "number" && Number.isFinite(value))
  );
}
