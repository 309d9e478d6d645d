import type { Limits } from "../limits.ts";

/** A host directory or file that an image sees at `target`. */
export type Volume = { source: string; target: string; options: string[] };

type Common = {
  id: string;
  description: string;
  /** Whether it may be the first link of a chain. */
  external: boolean;
  /** Empty for what is not made from an image. */
  image: string;
  /** Addresses and CIDR networks of the clients that may use it; empty means everybody. */
  allowedIps: string[];
  generatesProofs: boolean;
};

/** An HTTP service that somebody else keeps running. `url` has no slash at its end. */
export type ServiceContainer = Common & { kind: "service"; url: string; bearer: string | null };

/** A local command. `directory` is absolute and seen read-only; `limits` are what the entry asks for. */
export type ExecContainer = Common & {
  kind: "exec";
  command: string[];
  directory: string | null;
  env: Record<string, string>;
  limits: Partial<Limits>;
};

/** An image that this node starts through the Docker Engine API. */
export type ImageContainer = Common & {
  kind: "image";
  bearer: string | null;
  /** Where it listens inside. */
  port: number;
  /** Arguments for the image's entry point; empty keeps the image's own. */
  command: string[];
  env: Record<string, string>;
  volumes: Volume[];
  gpu: boolean;
  start: "boot" | "demand";
  /** How long it may take from its start to its first answer. */
  startupS: number;
  memoryMb: number | null;
  cpus: number | null;
  processes: number;
  openFiles: number;
};

/** One usable entry of the containers file. The shape on disk is the one of an Infernet node's `config.json`. */
export type ContainerDefinition = ServiceContainer | ExecContainer | ImageContainer;
