/**
 * What Uptane metadata calls an ECU's hardware: kind and hardware version together, for hardware
 * versions of two kinds of ECU may have the same name. Neither may hold a colon, so no two pairs
 * have one id.
 */
export function hardwareId(ecuType: string, hardwareVersion: string): string {
  return `${ecuType}:${hardwareVersion}`;
}
