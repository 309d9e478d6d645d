// The ceiling of any HTTP service on this machine: a constant answer. Prints its port.
const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("hello") });
console.log(server.port);
