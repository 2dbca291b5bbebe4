import { ProblemError } from "#protocol/api/problem.ts";
import type { CommandTarget } from "#protocol/mqtt/control.ts";
import type { UpdateCommand } from "#server/commands/queries.ts";
import type { Db } from "#server/database/connection.ts";
import { requestPackage, type IssueDeps } from "./issue.ts";
import "./table.ts";

/**
 * What a command to update tells its vehicle of the package: that of the update under way, else it
 * is assigned now, as if the vehicle had asked. Undefined where there is nothing to install, or
 * nothing is known of the vehicle.
 */
export async function commandTarget(
  deps: IssueDeps,
  vin: string,
  command: UpdateCommand,
): Promise<CommandTarget | undefined> {
  const underWay = await assignedTarget(deps.db, vin);
  if (underWay !== undefined) return underWay;
  try {
    await requestPackage(deps, vin, undefined, command);
  } catch (error) {
    // The vehicle asks for itself once it has the command, and hears why.
    if (error instanceof ProblemError) return undefined;
    throw error;
  }
  return assignedTarget(deps.db, vin);
}

async function assignedTarget(db: Db, vin: string): Promise<CommandTarget | undefined> {
  const row = await db
    .selectFrom("vehicle_update")
    .innerJoin("package_assignment as assigned", (join) =>
      join
        .onRef("assigned.vin", "=", "vehicle_update.vin")
        .onRef("assigned.package_id", "=", "vehicle_update.package_id"),
    )
    .select(["vehicle_update.package_id", "targets", "assigned.sha256"])
    .where("vehicle_update.vin", "=", vin)
    .where("completed_at", "is", null)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  const { package_id, targets, sha256 } = row;
  const [version, ...others] = new Set(targets.map(({ to_version }) => to_version));
  return {
    package: package_id,
    ...(version !== undefined && others.length === 0 && { version }),
    url: `/api/v1/ota/package/${package_id}`,
    checksum: `sha256:${sha256}`,
  };
}
