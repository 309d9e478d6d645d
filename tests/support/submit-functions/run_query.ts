export default {
  params: { execution_id: { type: "string" }, jwt_sub: { type: "string" } },
  handler: ({ execution_id, jwt_sub }: { execution_id?: string; jwt_sub?: string }) => ({
    ran: execution_id,
    by: jwt_sub,
  }),
};
