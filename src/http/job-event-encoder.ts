import type { JobEvent } from "../engine/hub.ts";
import { createEventEncoder } from "./event-encoder.ts";

/** A job's events as every surface streams them: numbered, named by their kind, and JSON objects. */
export const jobEventEncoder = createEventEncoder((event: JobEvent) => ({
  id: event.seq,
  event: event.kind,
  data: eventLine(event),
}));

/** `{"seq","at","task","kind",…}`: the event's own members follow; they are JSON text already. */
function eventLine({ seq, at, task, kind, data }: JobEvent): string {
  const head = `{"seq":${seq},"at":"${at}","task":${task},"kind":"${kind}"`;
  const rest = data.slice(data.indexOf("{") + 1);
  return rest.trim() === "}" ? `${head}}` : `${head},${rest}`;
}
