/**
 * A file of this name in a task's `logs/` directory tells its `human_in_loop_action` that the human is done.
 * Whoever hears of it (a surface) creates it.
 */
export const humanDoneFile = "human_in_loop_completed";
