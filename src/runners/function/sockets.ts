import type { Socket } from "bun";

export type SocketHandlers = { data(chunk: Buffer): void; drain(): void; closed(): void };

/** Wraps one end of a socket pair; closing the socket closes the descriptor. */
export function openSocket(fd: number, handlers: SocketHandlers): Promise<Socket> {
  const options = {
    fd,
    socket: {
      data: (_socket: Socket, chunk: Buffer) => handlers.data(chunk),
      drain: () => handlers.drain(),
      close: () => handlers.closed(),
      end: (socket: Socket) => socket.end(),
      error: (socket: Socket) => socket.end(),
    },
  };
  // `fd` is documented for sockets, and missing from the types of `connect`.
  return Bun.connect(options as unknown as Bun.UnixSocketOptions);
}
