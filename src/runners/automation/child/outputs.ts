import { AutomationFault } from "../automation-fault.ts";

/** What a task extracts, in order. Bounded: it travels to the server and into the database. */
export class Outputs {
  readonly data: Record<string, unknown>[] = [];
  #bytesLeft: number;

  constructor(readonly bytesMax: number) {
    this.#bytesLeft = bytesMax;
  }

  /** `identifier` is the document's `unique_identifier`. Throws `AutomationFault` when there is too much. */
  add(value: Record<string, unknown>, identifier: string | null = null): void {
    const entry = identifier === null ? value : { unique_identifier: identifier, ...value };
    this.#bytesLeft -= Buffer.byteLength(JSON.stringify(entry));
    if (this.#bytesLeft < 0) {
      throw new AutomationFault(`the output is larger than ${this.bytesMax} bytes`, { code: "output_limit" });
    }
    this.data.push(entry);
  }
}
