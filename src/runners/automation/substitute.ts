import { AutomationFault } from "./automation-fault.ts";
import type { SecureParameter } from "./document-model.ts";
import { isDict, type PythonValue, pythonStr, toJson } from "./python-value.ts";
import { totpCode } from "./totp.ts";

/** One running loop. The bodies of loops see the frames of all loops around them. */
export type LoopFrame = { indexName: string; index: number } & ({ variables: readonly string[] } | { locator: string });

const placeholder =
  /\{(?:index_of\(\s*([\p{L}_][\p{L}\p{N}_]*)\s*\)|([\p{L}_][\p{L}\p{N}_]*)(?:\[([\p{L}\p{N}_]+)\]|((?:\.\w+|\[\d+\])+))?)\}/gu;
const wholePlaceholder = new RegExp(`^${placeholder.source}$`, "u");
const maskedCharsMin = 4;
const mask = "***";

/**
 * The variables of one task and the placeholders that stand for them: `{name[0]}`, `{name[index]}`, `{index}`,
 * `{locator[index]}`, `{index_of(name)}`, and `{name.body.id}` for stored API responses. What has no value stays as it is.
 */
export class Scope {
  readonly #input: Readonly<Record<string, PythonValue>>;
  readonly #secure: Readonly<Record<string, SecureParameter[]>>;
  readonly #generated: Map<string, PythonValue>;
  readonly #secrets = new Set<string>();
  readonly #frames: LoopFrame[] = [];

  constructor(values: {
    input: Record<string, PythonValue>;
    secure: Record<string, SecureParameter[]>;
    generated: Record<string, PythonValue>;
  }) {
    this.#input = values.input;
    this.#secure = values.secure;
    this.#generated = new Map(Object.entries(values.generated));
  }

  set(name: string, value: PythonValue): void {
    this.#generated.set(name, value);
  }

  /** A variable as conditions see it: generated before given; the index names of loops as numbers. */
  lookup(name: string): PythonValue | undefined {
    const frame = this.#frames.find((candidate) => candidate.indexName === name);
    if (frame !== undefined) return BigInt(frame.index);
    return this.#generated.get(name) ?? (Object.hasOwn(this.#input, name) ? this.#input[name] : undefined);
  }

  /** How many values a list variable has; null when there is no such list. */
  lengthOf(name: string): number | null {
    const list = this.#listOf(name) ?? this.#secureOf(name);
    return list?.length ?? null;
  }

  async within<T>(frame: LoopFrame, run: () => Promise<T>): Promise<T> {
    this.#frames.push(frame);
    try {
      return await run();
    } finally {
      this.#frames.pop();
    }
  }

  /** The text with every placeholder replaced. Throws `AutomationFault` for a secret that cannot be had. */
  fill(text: string): string {
    return this.#replace(text, (name, index) => this.#secret(name, index));
  }

  /** The text as it may be shown: secrets are stars. */
  shown(text: string): string {
    return this.mask(this.#replace(text, (name) => (this.#secureOf(name) === null ? null : mask)));
  }

  /** Takes out every secret that was filled in anywhere, as error messages of the browser may quote them. */
  mask(text: string): string {
    let out = text;
    for (const secret of this.#secrets) {
      if (secret.length >= maskedCharsMin) out = out.replaceAll(secret, mask);
    }
    return out;
  }

  /** Fills texts at any depth of a JSON value. */
  fillDeep(value: unknown): unknown {
    if (typeof value === "string") return this.fill(value);
    if (Array.isArray(value)) return value.map((item) => this.fillDeep(item));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, this.fillDeep(item)]));
  }

  /** True for a text that is one placeholder of a known list that has no value there: nothing was given for it. */
  isWithoutValue(text: string): boolean {
    const name = wholePlaceholder.exec(text)?.[2];
    return name !== undefined && this.lengthOf(name) !== null && this.fill(text) === text;
  }

  #replace(text: string, secret: (name: string, index: number) => string | null): string {
    if (!text.includes("{")) return text;
    return text.replaceAll(placeholder, (whole, indexOf, name, inner, path) => {
      if (indexOf !== undefined) return this.#indexOver(indexOf) ?? whole;
      if (inner !== undefined) return this.#element(name, inner, secret) ?? whole;
      if (path !== undefined) return this.#member(name, path) ?? whole;
      return this.#frames.find((frame) => frame.indexName === name)?.index.toString() ?? whole;
    });
  }

  #indexOver(name: string): string | null {
    const frame = this.#frames.find((candidate) => "variables" in candidate && candidate.variables[0] === name);
    return frame?.index.toString() ?? null;
  }

  #element(name: string, inner: string, secret: (name: string, index: number) => string | null): string | null {
    const frames = this.#frames.filter((frame) => frame.indexName === inner);
    if (name === "locator") {
      const frame = frames.find((candidate) => "locator" in candidate);
      if (frame !== undefined && "locator" in frame) return `${frame.locator}.nth(${frame.index})`;
    }
    const own = frames.find((frame) => "variables" in frame && frame.variables.includes(name));
    const index = /^\d{1,9}$/.test(inner) ? Number(inner) : (own ?? frames[0])?.index;
    if (index === undefined) return null;
    const list = this.#listOf(name);
    if (list === null) return secret(name, index);
    const value = list[index] ?? null;
    return value === null ? null : pythonStr(value);
  }

  #member(name: string, path: string): string | null {
    let value: PythonValue | undefined = this.#generated.get(name);
    if (value === undefined || !isDict(value)) return null;
    for (const [, key, index] of path.matchAll(/\.(\w+)|\[(\d+)\]/g)) {
      if (key !== undefined) value = isDict(value) && Object.hasOwn(value, key) ? value[key] : undefined;
      else value = Array.isArray(value) ? value[Number(index)] : undefined;
      if (value === undefined || value === null) return null;
    }
    return typeof value === "object" ? JSON.stringify(toJson(value)) : pythonStr(value);
  }

  #secret(name: string, index: number): string | null {
    const parameter = this.#secureOf(name)?.[index];
    if (parameter === undefined) return null;
    if (parameter.kind === "vault") {
      const vault = parameter.vault === "onepassword" ? "1Password" : "AWS Secrets Manager";
      throw new AutomationFault(
        `the secure parameter "${name}" is kept in ${vault}, which Fairlead cannot reach: hand the value over as an input parameter, or use totp`,
      );
    }
    const code = totpCode(parameter.secret, parameter.digits, Date.now());
    this.#secrets.add(code);
    return code;
  }

  #listOf(name: string): PythonValue[] | null {
    const given = Object.hasOwn(this.#input, name) ? this.#input[name] : this.#generated.get(name);
    return Array.isArray(given) ? given : null;
  }

  #secureOf(name: string): SecureParameter[] | null {
    return (Object.hasOwn(this.#secure, name) ? this.#secure[name] : undefined) ?? null;
  }
}
