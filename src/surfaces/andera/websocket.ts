import type { Server } from "bun";
import type { AnderaDeps } from "./deps.ts";
import { createKeyring } from "../../http/keyring.ts";
import { listenFault } from "../../http/listen-fault.ts";
import { slotsOf, statusOf, systemOf } from "./health.ts";

const pushEveryMs = 1_000;
const closeUnauthorized = 4001;
const messageBytesMax = 1_024;
const connectionsMax = 1_000;

type Peer = { allowed: boolean };

/**
 * The server that a load balancer connects to: its key is the subprotocol, `ping` is answered with the slots, and the same
 * with the system's load is pushed every second and on every change. Source: Andera's load balancer, "WebSocket".
 * Throws `ListenError` when the port cannot be had.
 */
export function listenForBalancers(
  deps: AnderaDeps,
  address: { hostname: string; port: number },
): { port: number; stop(): Promise<void> } {
  const ring = createKeyring([deps.lbAuthKey]);
  const peers = new Set<Bun.ServerWebSocket<Peer>>();
  const server = openPort({
    ...address,
    development: false,
    idleTimeout: 30,
    fetch(request, own) {
      const key = request.headers.get("sec-websocket-protocol");
      const allowed = !ring.isEmpty && ring.labelOf(key) !== null && peers.size < connectionsMax;
      if (own.upgrade(request, { data: { allowed } })) return undefined;
      return new Response("This port speaks WebSocket with a load balancer", {
        status: 426,
        headers: { upgrade: "websocket" },
      });
    },
    websocket: {
      maxPayloadLength: messageBytesMax,
      backpressureLimit: 65_536,
      closeOnBackpressureLimit: true,
      open(peer) {
        if (!peer.data.allowed) peer.close(closeUnauthorized, "Unauthorized");
        else {
          peers.add(peer);
          peer.send(pushed(deps, []));
        }
      },
      message(peer, text) {
        if (text === "ping") peer.send(JSON.stringify({ status: statusOf(deps), slots: slotsOf(deps) }));
      },
      close: (peer) => void peers.delete(peer),
    },
  });
  const push = async () => {
    if (peers.size === 0) return;
    const text = pushed(deps, await deps.sidecar.services());
    for (const peer of peers) peer.send(text);
  };
  const timer = setInterval(() => void push(), pushEveryMs);
  const unlisten = deps.onSlots(coalesced(push));
  return {
    port: server.port ?? address.port,
    async stop() {
      clearInterval(timer);
      unlisten();
      await server.stop(true);
    },
  };
}

function openPort(options: Bun.Serve.Options<Peer> & { hostname: string; port: number }): Server<Peer> {
  try {
    return Bun.serve<Peer>(options);
  } catch (fault) {
    throw listenFault(fault, options.hostname, options.port, "WEBSOCKET_PORT");
  }
}

function pushed(deps: AnderaDeps, services: unknown[]): string {
  return JSON.stringify({ status: statusOf(deps), slots: slotsOf(deps), system: systemOf(), services });
}

/** Under load slots change thousands of times a second; a balancer needs the last state of a moment. */
const coalesceMs = 10;

function coalesced(push: () => Promise<void>): () => void {
  let pending = false;
  return () => {
    if (pending) return;
    pending = true;
    setTimeout(() => {
      pending = false;
      void push();
    }, coalesceMs);
  };
}
