import type { AnyElysia } from "elysia";
import type { Refuse } from "./refusal.ts";

/** One protocol, or another part of the service with paths of its own, as it is mounted at the edge. */
export type Surface = {
  name: string;
  /** Its routes. Errors that its handlers throw are worded by `refuse`; an `onError` of its own is not asked. */
  plugin: AnyElysia;
  /**
   * Beginnings of the paths that are its own even where no route is, such as `/api/jobs`; the longest of all surfaces
   * wins.
   */
  prefixes: string[];
  refuse: Refuse;
  /** Its own answer to `GET /health`, given when it is the only protocol mounted, or when the edge picks it. */
  health?: (request: Request) => Response | Promise<Response>;
  /** Its own answer to `GET /`. */
  home?: (request: Request) => Response | Promise<Response>;
};
