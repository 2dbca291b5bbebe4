/** What a person who starts the gateway sees first. */
export const banner = [
  "╔═══════════════════════════════════════════════════════════╗",
  "║           Latticeway · OTA gateway with PQC TLS           ║",
  "╚═══════════════════════════════════════════════════════════╝",
].join("\n");
