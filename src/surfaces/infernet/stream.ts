import type { Engine } from "../../engine/context.ts";
import { JobFeed } from "../../engine/feed.ts";
import type { Submission } from "../../engine/submission.ts";
import type { Submitter } from "../../engine/submit.ts";

/**
 * Submits and answers with the id and a newline as a chunk of their own, which is how clients find the id, then with the container's bytes as they
 * come. A failure ends the stream; the job has the reason. A caller that leaves does not end the job.
 */
export async function streamJob(
  engine: Engine,
  submitter: Submitter,
  submission: Submission & { id: string },
  signal: AbortSignal,
): Promise<Response> {
  const feed = new JobFeed(engine, submission.id, 0);
  try {
    await submitter.submit(submission);
  } catch (fault) {
    feed.close();
    throw fault;
  }
  signal.addEventListener("abort", () => feed.close(), { once: true });
  const encoder = new TextEncoder();
  let isFirst = true;
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (isFirst) {
        isFirst = false;
        controller.enqueue(encoder.encode(`${submission.id}\n`));
        // Two chunks written in one turn would arrive as one.
        await Bun.sleep(1);
        return;
      }
      for (;;) {
        const events = await feed.next();
        if (events === null) {
          feed.close();
          controller.close();
          return;
        }
        const text = events.map(streamedText).join("");
        if (text === "") continue;
        controller.enqueue(encoder.encode(text));
        return;
      }
    },
    cancel: () => feed.close(),
  });
  return new Response(body, {
    headers: { "content-type": "text/html; charset=utf-8", "cache-control": "no-store", "x-accel-buffering": "no" },
  });
}

function streamedText(event: { kind: string; data: string }): string {
  if (event.kind !== "output") return "";
  const { stream, text }: { stream: string; text: string } = JSON.parse(event.data);
  return stream === "stream" ? text : "";
}
