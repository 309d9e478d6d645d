import { createServer, type Socket } from "node:net";

/** What a service does with one request; `text` is the whole of it. */
export type Answer = (socket: Socket, text: string) => void;

export type RawService = { url: string; requests: string[]; connections(): number; close(): void };

/** A service on a free port that answers with the bytes it likes, so that it can do what an HTTP library would not let it. */
export async function rawService(answer: Answer): Promise<RawService> {
  const sockets = new Set<Socket>();
  const requests: string[] = [];
  let connections = 0;
  const server = createServer((socket) => {
    connections++;
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    onRequest(socket, (text) => {
      requests.push(text);
      answer(socket, text);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    connections: () => connections,
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

export function httpAnswer(body: string, headers: Record<string, string> = {}, status = "200 OK"): string {
  const all = { "content-type": "application/json", "content-length": String(Buffer.byteLength(body)), ...headers };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status}\r\n${lines.join("")}\r\n${body}`;
}

function onRequest(socket: Socket, take: (text: string) => void): void {
  let text = "";
  socket.on("data", (bytes) => {
    text += bytes.toString("latin1");
    const end = text.indexOf("\r\n\r\n");
    const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0);
    if (end < 0 || text.length < end + 4 + length) return;
    const whole = text;
    text = "";
    take(whole);
  });
}
