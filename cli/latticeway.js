#!/usr/bin/env node
// JavaScript, so that an old Node gets as far as saying what it lacks.
import "#config/node-version.js";
await import("./main.ts");
