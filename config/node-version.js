/**
 * Ends the process with one clear line on a Node that lacks post-quantum TLS. JavaScript, and
 * preloaded by npm's scripts, because such a Node may not even load a TypeScript file. Import it
 * before anything that would fail to load there.
 */
const [major = 0] = process.versions.node.split(".").map(Number);
if (major < 26) {
  process.stderr.write(
    `Latticeway needs Node.js 26 or newer; this is ${process.versions.node}. ` +
      "Start it by `npm start` or `npm run …`: they use the Node 26 that `npm ci` installed.\n",
  );
  process.exit(1);
}
