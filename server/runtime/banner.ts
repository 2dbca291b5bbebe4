/** What a person who starts the gateway sees first. */
export const banner = [
  "╔═══════════════════════════════════════════════════════════╗",
  "║           Latticeway · OTA gateway with PQC TLS           ║",
  "╚═══════════════════════════════════════════════════════════╝",
].join("\n");

/** What the person who starts it for the first time is told, once. */
export function firstAdminNotice({ name, password }: { name: string; password: string }): string {
  return [
    "",
    `First account: ${name}`,
    `Password:      ${password}`,
    "Shown only now. It is good for the first login, which sets another one.",
    "",
    "",
  ].join("\n");
}
