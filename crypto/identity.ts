const VEHICLE_ID = /^[A-Za-z0-9._-]{3,64}$/;

/**
 * Whether a text can name a vehicle: a VIN (17 characters, ISO 3779) or a VMG id such as `VMG-001`.
 * It is safe as a file name's stem, an MQTT topic level and a URL path segment; `...` is refused
 * because a path made of dots alone is not.
 */
export function isVehicleId(text: string): boolean {
  return VEHICLE_ID.test(text) && !/^\.+$/.test(text);
}
