import type { FunctionContext, ParamRules } from "../../functions.ts";

/** A function as it came out of its file: only the handler has been looked at. */
export type LoadedFunction = {
  params?: ParamRules;
  config?: unknown;
  description?: unknown;
  handler(params: Record<string, unknown>, context: FunctionContext): unknown;
};

const loaded = new Map<string, LoadedFunction>();

/** The function in a file, if it has been loaded already. */
export function knownFunction(file: string): LoadedFunction | undefined {
  return loaded.get(file);
}

/** Loads a file and picks its function: the export named like the file, else the default one. Throws when there is none. */
export async function loadFunction(file: string, name: string): Promise<LoadedFunction> {
  const module: Record<string, unknown> = await import(file);
  const found = Object.hasOwn(module, name) ? module[name] : module.default;
  if (!isFunctionLike(found)) throw new Error(shapeFault(found, name));
  loaded.set(file, found);
  return found;
}

function isFunctionLike(value: unknown): value is LoadedFunction {
  return typeof value === "object" && value !== null && typeof Reflect.get(value, "handler") === "function";
}

function shapeFault(found: unknown, name: string): string {
  if (found === undefined) return `exports neither "${name}" nor a default: export default defineFunction({ … })`;
  return `its export is not a function of the form { params, config, handler }: export default defineFunction({ … })`;
}
