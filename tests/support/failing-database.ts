import type { Database, Sql } from "../../src/db/client.ts";

/** A database that refuses statements with `part` in their text, within and outside of transactions. */
export function failingOn(db: Database, part: string): Database {
  const refuse = (text: string) => {
    if (text.includes(part)) throw new Error("A statement failed, as the test wants");
  };
  return watching(db, refuse);
}

/** Calls `onStatement` before every statement, of pools and in transactions. What it throws is what the statement throws. */
export function watching(db: Database, onStatement: (text: string) => void): Database {
  return {
    ...db,
    sql: watched(db.sql, onStatement),
    hot: watched(db.hot, onStatement),
    lease: watched(db.lease, onStatement),
  };
}

function watched<T extends object>(runs: T, onStatement: (text: string) => void): T {
  return new Proxy(runs, {
    apply(target, self, values: unknown[]) {
      const [parts] = values;
      if (Array.isArray(parts) && "raw" in parts)
        onStatement(parts.reduce((text: string, part: string, at) => (at === 0 ? part : `${text}$${at}${part}`), ""));
      return Reflect.apply(target as (...all: unknown[]) => unknown, self, values);
    },
    get(target, name, receiver) {
      const value: unknown = Reflect.get(target, name, receiver);
      if (name === "unsafe") {
        return (text: string, ...more: unknown[]) => {
          onStatement(text);
          return (value as (...all: unknown[]) => unknown)(text, ...more);
        };
      }
      if (name === "begin") {
        return (work: (tx: object) => unknown) => (value as Sql["begin"])(async (tx) => work(watched(tx, onStatement)));
      }
      return value;
    },
  });
}
