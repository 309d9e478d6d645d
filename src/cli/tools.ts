/** What the program can do on this machine beyond talking to a service; handed in by `main`, loaded when it is called. */
export type CliTools = {
  version: string;
  /** Calls the listener at each Ctrl-C, instead of ending the process, until the returned function is called. */
  onInterrupt(listener: () => void): () => void;
  /** Starts a node; resolves when it is ready. It stops at a signal. */
  serve(mode: ServeMode): Promise<void>;
  /** Brings the database to this version; resolves with what it was before. */
  migrate(): Promise<"current" | "missing" | "behind">;
  /** The SQL that `migrate` would run; empty when there is nothing to do. */
  migrationPlan(): Promise<string[]>;
  doctor(): Promise<Check[]>;
  openapi(): Promise<unknown>;
  /** A token of the dev issuer of this data directory, for the configured audience. */
  devToken(claims: { sub: string; lifetimeS: number }): Promise<string>;
};

export type ServeMode = { demo: boolean; dev: boolean; http: boolean; work: boolean };

/** One thing that `doctor` looked at. `warn` is something that not everybody needs. */
export type Check = { name: string; state: "ok" | "warn" | "failed"; detail: string; fix?: string };
