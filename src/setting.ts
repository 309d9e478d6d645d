/** One environment variable: its name, what it means, and how its text becomes a value. Throws `Error` with the fix in its message. */
export type Setting<T> = { name: string; fallback: string; help: string; secret?: boolean; parse(text: string): T };

type Base = { name: string; help: string; fallback?: string };

export function text(base: Base): Setting<string> {
  return { fallback: "", ...base, parse: (value) => value };
}

export function secretList(base: Base): Setting<string[]> {
  return { fallback: "", secret: true, ...base, parse: (value) => list(value) };
}

/** Secrets of at least `charsMin` characters each, from which keys are derived. */
export function longSecretList({ charsMin, ...base }: Base & { charsMin: number }): Setting<string[]> {
  return {
    ...secretList(base),
    parse: (value) => {
      const secrets = list(value);
      if (secrets.some((one) => one.length < charsMin))
        throw new Error(`needs ${charsMin} characters or more (try "openssl rand -hex 32")`);
      return secrets;
    },
  };
}

export function secret(base: Base): Setting<string> {
  return { ...text(base), secret: true };
}

export function words(base: Base): Setting<string[]> {
  return { fallback: "", ...base, parse: (value) => list(value) };
}

export function integer(base: Base & { min: number; max: number }): Setting<number> {
  return {
    fallback: "",
    ...base,
    parse: (value) => {
      const number = Number(value);
      if (!/^-?\d+$/.test(value) || number < base.min || number > base.max) {
        throw new Error(`must be a whole number from ${base.min} to ${base.max}`);
      }
      return number;
    },
  };
}

/** A number from 0 to 1. */
export function fraction(base: Base): Setting<number> {
  return {
    fallback: "",
    ...base,
    parse: (value) => {
      const number = Number(value);
      if (!/^\d*\.?\d+$/.test(value) || number > 1) throw new Error("must be a number from 0 to 1, such as 0.1");
      return number;
    },
  };
}

/** An integer that may be left empty. */
export function optionalInteger(base: Base & { min: number; max: number }): Setting<number | null> {
  const inner = integer(base);
  return { ...inner, parse: (value) => (value === "" ? null : inner.parse(value)) };
}

export function oneOf<const T extends string>(base: Base & { of: readonly T[] }): Setting<T> {
  return {
    fallback: "",
    ...base,
    parse: (value) => {
      const found = base.of.find((word) => word === value);
      if (found === undefined) throw new Error(`must be one of ${base.of.join(", ")}`);
      return found;
    },
  };
}

export function someOf<const T extends string>(base: Base & { of: readonly T[] }): Setting<T[]> {
  const single = oneOf(base);
  return {
    fallback: "",
    ...base,
    parse: (value) => (value === "all" ? [...base.of] : list(value).map((word) => single.parse(word))),
  };
}

export function flag(base: Base): Setting<boolean> {
  return {
    fallback: "",
    ...base,
    parse: (value) => {
      if (["true", "1", "yes", "on"].includes(value)) return true;
      if (["false", "0", "no", "off", ""].includes(value)) return false;
      throw new Error("must be true or false");
    },
  };
}

export function headers(base: Base): Setting<Record<string, string>> {
  return {
    fallback: "{}",
    ...base,
    parse: (value) => {
      const parsed: unknown = parseJson(value);
      if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
        throw new Error('must be a JSON object of header names to texts, for example {"X-Team":"ops"}');
      }
      return Object.fromEntries(Object.entries(parsed).map(([name, entry]) => [name, String(entry)]));
    },
  };
}

export function url(base: Base): Setting<string> {
  return {
    fallback: "",
    ...base,
    parse: (value) => {
      if (value !== "" && !URL.canParse(value)) throw new Error("must be a full URL");
      return value;
    },
  };
}

/** A URL that can be fetched. */
export function webUrl(base: Base): Setting<string> {
  return {
    fallback: "",
    ...base,
    parse: (value) => {
      if (value !== "" && !/^https?:$/.test(URL.parse(value)?.protocol ?? ""))
        throw new Error("must be a full URL that begins with http:// or https://");
      return value;
    },
  };
}

/** A URL, or a host with or without a port, which is taken for `http`. */
export function serverAddress(base: Base): Setting<string> {
  return {
    fallback: "",
    ...base,
    parse: (value) => {
      const full = value === "" || /^https?:\/\//i.test(value) ? value : `http://${value}`;
      if (full !== "" && !URL.canParse(full)) throw new Error("must be a URL, or a host with a port");
      return full;
    },
  };
}

/** CIDR networks or single addresses; `*` for all of them. */
export function networks(base: Base): Setting<string[]> {
  return {
    fallback: "",
    ...base,
    parse: (value) => {
      for (const entry of list(value)) {
        if (entry !== "*" && !/^[0-9a-fA-F.:]+(\/\d{1,3})?$/.test(entry)) {
          throw new Error(`holds "${entry}", which is not a network such as 10.0.0.0/8`);
        }
      }
      return list(value);
    },
  };
}

function list(value: string): string[] {
  return value
    .split(",")
    .map((entry) => entry.trim())
    .filter((entry) => entry !== "");
}

function parseJson(value: string): unknown {
  try {
    return JSON.parse(value);
  } catch (cause) {
    throw new Error("must be JSON", { cause });
  }
}
