/** What a node calls the list of what it can run, by runner. One that keeps no such list is taken to run everything. */
const listOf = (runner: string) =>
  `CASE ${runner} WHEN 'function' THEN 'functions' WHEN 'container' THEN 'containers' ELSE 'automations' END`;

/**
 * SQL: whether a node knows this target, by the capabilities it told; each argument names a column. What a version that
 * tells less leaves out is taken to be there.
 */
export function knowsSql(capabilities: string, runner: string, target: string): string {
  return `(${target} = '' OR ${runner} = 'script' OR ${capabilities}->(${listOf(runner)}) IS NULL
    OR (${capabilities}->(${listOf(runner)}))::jsonb ? ${target})`;
}

/** SQL: whether a node has what this runner needs of its machine: a browser, a sandbox. */
export function equippedSql(capabilities: string, runner: string): string {
  return `CASE ${runner} WHEN 'automation' THEN coalesce((${capabilities}->>'chromium')::boolean, true)
    WHEN 'script' THEN coalesce(${capabilities}->>'sandbox', '') <> 'unavailable' ELSE true END`;
}

/** SQL: the name of what a node must know for a task of this row of `tasks`; empty where it need not know any. */
export function knownTargetSql(task: string): string {
  return `CASE WHEN ${task}.runner = 'script' THEN ''
    WHEN ${task}.runner = 'automation' AND ${task}.options->>'automation' IS NOT NULL THEN '' ELSE ${task}.target END`;
}
