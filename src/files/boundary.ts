import { EngineError } from "../errors.ts";

const headerCharsMax = 1_000;
const form = /^multipart\/form-data[ \t]*((?:;[ \t]*[\w!#$%&'*+\-.^`|~]+=(?:"[^"]*"|[^";,\s]*)[ \t]*)*)(?:;[ \t]*)?$/i;
// RFC 2046, 5.1.1: at most 70 of these, the last not a space.
const boundaryForm = /^[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]$/;

/** The boundary that a `Content-Type` names. Throws `invalid` with the orchestrator's own words (seed-systems 1.3). */
export function boundaryOf(contentType: string | null): string {
  const header = (contentType ?? "").trim();
  const parameters = header.length > headerCharsMax ? "" : (form.exec(header)?.[1] ?? "");
  const found = [...parameters.matchAll(/;[ \t]*boundary=(?:"([^"]*)"|([^";,\s]*))/gi)];
  const boundary = found[0]?.[1] ?? found[0]?.[2] ?? "";
  if (found.length !== 1 || !boundaryForm.test(boundary)) {
    throw new EngineError("invalid", "Invalid `boundary` for `multipart/form-data` request");
  }
  return boundary;
}
