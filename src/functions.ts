/** Types a parameter may have; JSON's, with arrays and objects told apart. */
export const paramTypes = ["string", "number", "boolean", "object", "array"] as const;
export type ParamType = (typeof paramTypes)[number];

/**
 * What one parameter must be. `min` and `max` bound the value of a number and the length of a string or an array.
 * `pattern` is a regular expression without flags, tested anywhere in a string unless it is anchored.
 */
export type ParamRule = {
  readonly type: ParamType;
  readonly required?: boolean;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly pattern?: string | RegExp;
  readonly min?: number;
  readonly max?: number;
  readonly description?: string;
};
export type ParamRules = { readonly [name: string]: ParamRule };

/** `timeout` in milliseconds for one attempt; `maxRetries` attempts after the first; `logResult: false` keeps results out of logs. */
export type FunctionConfig = {
  readonly timeout?: number;
  readonly maxRetries?: number;
  readonly supportsStreaming?: boolean;
  readonly logResult?: boolean;
};

/** Writes one line to the job's log, formatted like `console.log`. */
export type FunctionLog = {
  (...parts: unknown[]): void;
  debug(...parts: unknown[]): void;
  info(...parts: unknown[]): void;
  warn(...parts: unknown[]): void;
  error(...parts: unknown[]): void;
};

/** What a handler gets besides its parameters. Every member may be destructured. */
export type FunctionContext = {
  /** Sends a piece of output to whoever follows the job, now. */
  readonly stream: (text: string) => void;
  /** `fraction` in 0..1. Calls in quick succession are thinned out; the last one always arrives. */
  readonly progress: (fraction: number, text?: string) => void;
  /**
   * Fires when the job is cancelled or its time is up. A handler that has read it gets half a second to clean up;
   * one that has not is ended at once.
   */
  readonly signal: AbortSignal;
  readonly log: FunctionLog;
  readonly jobId: string;
  /** 1 for the first execution. */
  readonly attempt: number;
  /** True when the caller asked for the output as a stream. */
  readonly streaming: boolean;
  /** The trace that this execution belongs to, for calls that it makes (W3C Trace Context); null when there is none. */
  readonly traceparent: string | null;
};

type ValueOfType = {
  string: string;
  number: number;
  boolean: boolean;
  object: Record<string, unknown>;
  array: unknown[];
};
type ValueOf<R extends ParamRule> = R extends { readonly enum: readonly (infer V)[] } ? V : ValueOfType[R["type"]];
type GivenNames<P extends ParamRules> = {
  [K in keyof P]: P[K] extends { readonly required: true } | { readonly default: unknown } ? K : never;
}[keyof P];

/** The parameters as a handler receives them: required and defaulted ones are always there. */
export type ParamsOf<P extends ParamRules> = { [K in GivenNames<P>]: ValueOf<P[K]> } & {
  [K in Exclude<keyof P, GivenNames<P>>]?: ValueOf<P[K]>;
};

/** One function, as its file exports it. A plain object of this shape works as well. */
export type FunctionDefinition<P extends ParamRules = ParamRules, R = unknown> = {
  readonly params?: P;
  readonly config?: FunctionConfig;
  readonly description?: string;
  readonly handler: (params: ParamsOf<P>, context: FunctionContext) => R | Promise<R>;
};

/**
 * Declares a function; returns it unchanged. Its use is the types: `params` is inferred into what the handler receives.
 * Export the result under the file's name or as default.
 */
export function defineFunction<const P extends ParamRules, R>(
  definition: FunctionDefinition<P, R>,
): FunctionDefinition<P, R> {
  return definition;
}
