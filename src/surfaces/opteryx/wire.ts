import { type Static, Type } from "@sinclair/typebox";

/** What `POST /api/v1/submit` takes; other members are left alone. */
export const submitModel = Type.Object(
  { execution_id: Type.String({ minLength: 1, maxLength: 128, description: "A-Z a-z 0-9 . _ : -" }) },
  { additionalProperties: true },
);

export const acceptedModel = Type.Object({
  accepted: Type.Boolean(),
  job: Type.String(),
  jwt_sub: Type.String(),
});
export type Accepted = Static<typeof acceptedModel>;

export const detailModel = Type.Object({ detail: Type.String() });

/** The original's texts (reference 0.2). */
export const texts = {
  missing: "Missing execution_id",
  notJson: "The body must be a JSON object",
  badId: "execution_id must be 1 to 128 of A-Z a-z 0-9 . _ : -",
  notFound: "Not Found",
  method: "Method Not Allowed",
  internal: "Internal Server Error",
};

const idShape = /^[A-Za-z0-9._:-]{1,128}$/;

/** The `execution_id` in a body, or what is wrong with it. */
export function readExecutionId(body: unknown): { id: string } | { detail: string } {
  if (typeof body !== "object" || body === null || Array.isArray(body)) return { detail: texts.notJson };
  const id = "execution_id" in body ? body.execution_id : undefined;
  if (id === undefined || id === null || id === "") return { detail: texts.missing };
  return typeof id === "string" && idShape.test(id) && id !== "." && id !== ".." ? { id } : { detail: texts.badId };
}
