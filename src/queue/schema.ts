/** The schema that pg-boss has for itself. */
export const queueSchema = "pgboss";
