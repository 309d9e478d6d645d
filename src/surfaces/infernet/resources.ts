import { readAnswer } from "../../runners/container/read-answer.ts";

/** A container that can be asked over HTTP, where it listens now. */
export type Askable = { id: string; url: string; bearer: string | null };

const answerMs = 2_000;
const answerBytesMax = 65_536;

/**
 * What each container says at `GET /service-resources`, by its id; those that do not answer with JSON in time are left out. `modelId` asks
 * whether they support a model.
 */
export async function readResources(
  containers: readonly Askable[],
  modelId: string | null,
): Promise<Record<string, unknown>> {
  const entries = await Promise.all(containers.map(async (one) => [one.id, await ask(one, modelId)] as const));
  return Object.fromEntries(entries.filter(([, answer]) => answer !== undefined));
}

async function ask({ url, bearer }: Askable, modelId: string | null): Promise<unknown> {
  const query = modelId === null ? "" : `?model_id=${encodeURIComponent(modelId)}`;
  try {
    const response = await fetch(`${url}/service-resources${query}`, {
      headers: bearer === null ? {} : { authorization: `Bearer ${bearer}` },
      redirect: "manual",
      signal: AbortSignal.timeout(answerMs),
    });
    const { text } = await readAnswer(response, answerBytesMax);
    if (response.ok && text !== null) return JSON.parse(text);
  } catch {
    // Refused, late, too long or no JSON: the protocol leaves out what cannot be asked.
  }
  return undefined;
}
