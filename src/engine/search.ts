/** The longest text that can be searched for. */
export const searchCharsMax = 200;

/** A condition on `jobs j` with its parameters, which are numbered from `first`. */
export type Condition = { text: string; values: unknown[] };

/**
 * Jobs in which a text occurs, whatever the case of its letters (of ASCII letters alone where the database's locale is C): in the id, the targets, the input, an output or an error. It is looked for as it
 * stands, and as JSON writes it, so that quotes are found within texts and around them.
 */
export function searchCondition(text: string, first: number): Condition {
  const escaped = JSON.stringify(text).slice(1, -1);
  const values = [...new Set([text, escaped])].map((spelling) => `%${likeEscaped(spelling)}%`);
  const hits = (column: string) => values.map((_, at) => `${column} ILIKE $${first + at}`).join(" OR ");
  const inTasks = `EXISTS (SELECT 1 FROM tasks k WHERE k.job_id = j.id AND (${hits("k.output::text")} OR ${hits("k.error::text")}))`;
  return { text: `(${hits("j.id")} OR ${hits("j.name")} OR ${hits("j.input::text")} OR ${inTasks})`, values };
}

/** LIKE takes `%`, `_` and `\` for itself. */
function likeEscaped(text: string): string {
  return text.replace(/[\\%_]/g, "\\$&");
}
