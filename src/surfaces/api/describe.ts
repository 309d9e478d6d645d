import type { TSchema } from "@sinclair/typebox";
import type { DocumentDecoration } from "elysia";
import { problemKinds } from "../../http/problem.ts";
import { type RefusalCode, usualStatus } from "../../http/refusal.ts";

type Schema = TSchema | { $ref: string } | Record<string, unknown>;
type Headers = Record<string, { description: string; schema: Record<string, unknown> }>;
type Content = Record<
  string,
  { schema: Schema; examples?: Record<string, { summary?: string; value: unknown }>; example?: unknown }
>;
export type Parameter = { name: string; in: "query" | "header" | "path"; description: string; schema: Schema };
export type Answer = { description: string; content?: Content; headers?: Headers };

/** What an operation says of itself in the OpenAPI document. */
export type Operation = {
  /** Stable: generated clients are named by it. */
  id: string;
  tag: string;
  summary: string;
  description?: string;
  parameters?: readonly Parameter[];
  body?: { content: Content; required?: boolean; description?: string };
  answers: Record<number, Answer>;
  /** What it may refuse with, beside the missing key and the fault that every operation has. */
  refusals?: readonly RefusalCode[];
};

export const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` });

/** JSON by the name of its model, with an example when there is one. */
export function json(model: string, example?: unknown): Content {
  return { "application/json": { schema: ref(model), ...(example === undefined ? {} : { example }) } };
}

export function header(description: string, schema: Record<string, unknown> = { type: "string" }): Headers[string] {
  return { description, schema };
}

/** An operation as the router's `detail`. */
export function describe(operation: Operation): DocumentDecoration {
  const { id, tag, summary, description, parameters, body, answers, refusals = [] } = operation;
  const codes: RefusalCode[] = [...refusals, "unauthorized", "forbidden", "internal"];
  const described = {
    operationId: id,
    tags: [tag],
    summary,
    ...(description === undefined ? {} : { description }),
    ...(parameters === undefined ? {} : { parameters: [...parameters] }),
    ...(body === undefined ? {} : { requestBody: { required: body.required ?? true, ...body } }),
    responses: { ...answers, ...refusalAnswers(codes) },
  };
  // The router's types come from another reading of OpenAPI, which knows no schemas of ours.
  return described as DocumentDecoration;
}

/** One answer a status, with an example for each code that may come with it. */
function refusalAnswers(codes: readonly RefusalCode[]): Record<number, Answer> {
  const withStatus = codes.flatMap((code) => statusesOf(code).map((status) => ({ code, status })));
  const byStatus = Map.groupBy(withStatus, ({ status }) => status);
  const entries = [...byStatus].map(([status, all]): [number, Answer] => {
    const examples = Object.fromEntries(all.map(({ code }) => [code, { value: exampleOf(code, status) }]));
    const content = { "application/problem+json": { schema: ref("Problem"), examples } };
    const titles = all.map(({ code }) => problemKinds[code].title).join("; ");
    return [status, { description: titles, content, ...headersOf(status) }];
  });
  return Object.fromEntries(entries);
}

/** What cannot be read is 400, what is read and wrong is 422 with pointers. */
function statusesOf(code: RefusalCode): number[] {
  return code === "invalid" ? [400, 422] : [usualStatus[code]];
}

function exampleOf(code: RefusalCode, status: number): unknown {
  return {
    type: `/problems/${code}`,
    title: problemKinds[code].title,
    status,
    detail:
      status === 422 && code === "invalid" ? "The job: /priority must be a whole number" : problemKinds[code].meaning,
    instance: "/api/v1/jobs",
    code,
    ...(status === 422 && code === "invalid"
      ? { errors: [{ pointer: "/priority", detail: "must be a whole number" }] }
      : {}),
    request_id: "5f2c9a01-1",
    retryable: status === 503,
  };
}

function headersOf(status: number): { headers?: Headers } {
  if (status === 401) return { headers: { "WWW-Authenticate": header("How to authenticate") } };
  if (status !== 503) return {};
  return { headers: { "Retry-After": header("Seconds after which to come back", { type: "integer" }) } };
}
