import "#config/node-version.js";
import { loadServerConfig } from "#config/server.ts";
import { banner, firstAdminNotice } from "#server/runtime/banner.ts";
import { createLog } from "#server/runtime/log.ts";
import { startFailure } from "#server/runtime/start-failure.ts";

/** A stop that takes longer than this is cut short. */
const STOP_TIMEOUT_MS = 30_000;

try {
  const config = loadServerConfig();
  const log = createLog(config.log);
  if (config.log.format !== "json") process.stdout.write(`${banner}\n\n`);
  log.info("OTA Server Starting");
  // Not imported above: there, an older Node would stop at what it lacks before it could say so.
  const { startApp } = await import("./app.ts");
  const app = await startApp(config, log);
  log.info("OTA Server Running");
  log.info("Active Services: MQTT, HTTPS");
  log.info(`Operator token: ${app.tokenFile}`);
  // Past the log, which may be kept: it is for whoever sits there.
  if (app.firstAdmin) process.stderr.write(firstAdminNotice(app.firstAdmin));
  log.info(`API: https://localhost:${app.ports.https}/docs`);
  log.info("Press Ctrl+C to stop");

  let stopping = false;
  const stop = (signal: NodeJS.Signals) => {
    if (stopping) return;
    stopping = true;
    log.info(`${signal}: stopping; accepted requests are finished first`);
    setTimeout(() => {
      log.error("Stopping took too long; giving up");
      process.exit(1);
    }, STOP_TIMEOUT_MS).unref();
    void app.close().then(
      () => log.info("OTA Server Stopped"),
      (error: unknown) => {
        log.error({ err: error }, "Stopping failed");
        process.exitCode = 1;
      },
    );
  };
  process.on("SIGHUP", () => {
    log.info("SIGHUP: reading the certificates and the diagnostic catalogue again");
    void app.reload();
  });
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
} catch (error) {
  process.stderr.write(`${startFailure(error)}\n`);
  process.exitCode = 1;
}
