import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import type { JobFilter, Position } from "../../engine/list.ts";
import { EngineError } from "../../errors.ts";

/** Turns places in a list into opaque texts and back. A text that was altered, or belongs to another query, is refused. */
export type Cursors = {
  write(position: Position, filter: JobFilter): string;
  /** Throws `EngineError("invalid")`. */
  read(text: string, filter: JobFilter): Position;
};

const macBytes = 16;
const textShape = /^[\w-]{1,600}$/;

export function createCursors(secret: Uint8Array): Cursors {
  const key = createHash("sha256").update("fairlead:cursor\0").update(secret).digest();
  const macOf = (payload: Uint8Array, filter: JobFilter) =>
    createHmac("sha256", key)
      .update(JSON.stringify(filter))
      .update("\0")
      .update(payload)
      .digest()
      .subarray(0, macBytes);
  return {
    write: (position, filter) => {
      const payload = Buffer.from(`${position.createdAt} ${position.id}`);
      return Buffer.concat([macOf(payload, filter), payload]).toString("base64url");
    },
    read: (text, filter) => {
      const bytes = textShape.test(text) ? Buffer.from(text, "base64url") : Buffer.alloc(0);
      const payload = bytes.subarray(macBytes);
      const isOurs = bytes.length > macBytes && timingSafeEqual(bytes.subarray(0, macBytes), macOf(payload, filter));
      // One spelling only: base64url leaves bits of the last character free.
      if (!isOurs || bytes.toString("base64url") !== text) {
        throw new EngineError("invalid", "`after` is not a cursor of this list: take `next` of its page as it is");
      }
      const [createdAt = "", id = ""] = payload.toString().split(" ");
      return { createdAt, id };
    },
  };
}
