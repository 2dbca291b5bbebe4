#!/usr/bin/env node
// JavaScript, so that an old Node gets as far as saying what it lacks.
import "#config/node-version.js";
import module from "node:module";
import { homedir } from "node:os";
import { join } from "node:path";

// To compile it takes longer than most commands do. In a folder of this user's own, for what is in it
// is run as it is: not in the system's folder for temporary files, which is Node's default.
const caches = process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache");
module.enableCompileCache(join(caches, "latticeway"));
await import("./main.ts");
