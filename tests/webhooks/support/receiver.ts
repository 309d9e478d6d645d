import type { Socket } from "bun";

export type RawReceiver = { port: number; url: string; connections: number; requests: string[]; close(): void };

/** A TCP server on loopback that does with a request what `answer` says, once per connection, after the request's last byte. */
export function startRawReceiver(
  answer: (socket: Socket<Connection>) => void,
  hostname = "127.0.0.1",
  port = 0,
): RawReceiver {
  const receiver: RawReceiver = { port: 0, url: "", connections: 0, requests: [], close: () => server.stop(true) };
  const server = Bun.listen<Connection>({
    hostname,
    port,
    socket: {
      open: (socket) => {
        receiver.connections += 1;
        socket.data = { request: "", isAnswered: false };
      },
      data: (socket, bytes) => {
        socket.data.request += bytes.toString();
        if (socket.data.isAnswered || !isWhole(socket.data.request)) return;
        socket.data.isAnswered = true;
        receiver.requests.push(socket.data.request);
        answer(socket);
      },
    },
  });
  receiver.port = server.port;
  receiver.url = `http://${hostname}:${server.port}/hook`;
  return receiver;
}

export type Connection = { request: string; isAnswered: boolean };

/** A receiver that answers every request with this status and these headers. */
export function startReceiver(status: number, headers: Record<string, string> = {}, body = "thanks"): RawReceiver {
  const lines = Object.entries({ "content-length": String(Buffer.byteLength(body)), ...headers });
  const head = [`HTTP/1.1 ${status} Status`, ...lines.map(([name, value]) => `${name}: ${value}`)].join("\r\n");
  return startRawReceiver((socket) => {
    socket.end(`${head}\r\n\r\n${body}`);
  });
}

function isWhole(request: string): boolean {
  const end = request.indexOf("\r\n\r\n");
  const length = /^content-length: (\d+)/im.exec(request)?.[1] ?? "0";
  return end >= 0 && Buffer.byteLength(request.slice(end + 4)) >= Number(length);
}
