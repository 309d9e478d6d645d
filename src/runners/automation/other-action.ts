import type { Action, OtherAction } from "./document-model.ts";

export function other(action: OtherAction): Action {
  return { kind: "other", other: action };
}

/** An action that is accepted when a document is loaded and fails when it is run. `needs` completes "it needs …". */
export function unsupported(field: string, needs: string): Action {
  return other({ name: "unsupported", field, needs });
}
