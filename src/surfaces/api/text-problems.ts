import type { Problem } from "../../errors.ts";
import type { Submit } from "./wire-submit.ts";

/** Texts that the database keeps as text and therefore cannot hold: those with NUL, and those that are no Unicode. */
export function textProblems(submit: Submit): Problem[] {
  const texts: [pointer: string, text: string | undefined][] = [
    ["/function", submit.function],
    ["/automation", submit.automation],
    ["/dedup/key", submit.dedup?.key],
    ["/concurrency/key", submit.concurrency?.key],
    ["/webhook/url", submit.webhook?.url],
    ["/requires/region", submit.requires?.region],
    ...(submit.requires?.tags ?? []).map((tag, at): [string, string] => [`/requires/tags/${at}`, tag]),
    ...(submit.tags ?? []).map((tag, at): [string, string] => [`/tags/${at}`, tag]),
    ...(submit.containers ?? []).map((id, at): [string, string] => [`/containers/${at}`, id]),
  ];
  return texts.flatMap(([pointer, text]) => {
    const isFit = text === undefined || (!text.includes("\0") && text.isWellFormed());
    return isFit ? [] : [{ pointer, detail: "must not hold NUL or half a character" }];
  });
}
