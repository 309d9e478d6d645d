/**
 * Ports above 1023 that speak something else than HTTP, where a POST could be taken for a command. The first row is from the Fetch
 * standard (section 2.9, "bad port"), the second holds data stores and brokers.
 */
const closedPorts = new Set([
  1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
  1433, 1521, 2181, 2375, 2376, 3306, 5432, 5672, 5984, 6379, 9042, 9092, 9200, 9300, 11211, 27017,
]);

/** Whether a webhook may use the port on a public address: 80, 443, or one above 1023 that is not known for another protocol. */
export function isWebPort(port: number): boolean {
  return port === 80 || port === 443 || (port > 1023 && !closedPorts.has(port));
}
