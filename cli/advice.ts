const login = "Log in: latticeway login";

/** What to do about errors that an operator meets often; docs/errors.md has all of them. */
const byCode: Readonly<Record<string, string>> = {
  CAMPAIGN_CHANGED: "Read it again: latticeway campaign show",
  CAMPAIGN_INCOMPLETE: "Add what is missing: latticeway campaign edit",
  CAMPAIGN_OWN_APPROVAL: "Another operator has to approve it: latticeway campaign approve",
  CAMPAIGN_RELEASE_OPEN:
    "Keep the release for campaigns: latticeway firmware update ID --availability campaign",
  CAMPAIGN_STATE: "See its state: latticeway campaign show",
  CAMPAIGNS_FULL: "Finish or stop another one: latticeway campaign list --state running",
  CLIENT_CERTIFICATE_REQUIRED: "This is a vehicle's part of the API",
  DIAGNOSTIC_DENIED: "See your level: latticeway whoami",
  EEXIST: "Name another file, or take that one away",
  FILTER_INVALID: "docs/filters.md tells the language",
  FIRMWARE_EXISTS: "A published version never changes; give the image another version",
  GATEWAY_UNNAMED: "Set both, or neither and log in: latticeway login --url https://gateway:8443",
  GATEWAY_UNREACHABLE: "Check the URL, the network and, for a private CA, --ca or LATTICEWAY_CA",
  LOGIN_MISSING:
    "Log in: latticeway login --url https://gateway:8443, or set LATTICEWAY_URL and LATTICEWAY_TOKEN",
  PASSWORD_EXPIRED: "An admin gives you another: latticeway operators reset-password",
  PASSWORD_CHANGE_REQUIRED:
    "Give your own in a second line of standard input, or log in on a terminal",
  REFRESH_TOKEN_INVALID: login,
  REFRESH_TOKEN_REUSED: login,
  ROLE_REQUIRED: "See your role: latticeway whoami",
  SCOPE_REQUIRED: "See what your token is for: latticeway whoami",
  TOKEN_INVALID: login,
  TOKEN_REQUIRED: login,
  VEHICLE_UNKNOWN: "See which there are: latticeway vehicles list",
};

export function adviceOn(code: string): string | undefined {
  return byCode[code];
}
