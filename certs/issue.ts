import { parseArgs } from "node:util";
import { certificateTable } from "#cli/certs.ts";
import { listCertificates } from "#crypto/certificate-list.ts";
import { ensureDevelopmentPki } from "#crypto/pki.ts";

const { values } = parseArgs({
  options: {
    dir: { type: "string", default: "certs" },
    host: { type: "string", multiple: true, default: [] },
  },
});

const { made, problems } = await ensureDevelopmentPki(values.dir, { hostNames: values.host });
const all = await listCertificates(values.dir);
console.log(certificateTable(all));
console.log(`\n${made.length} made, ${all.length - made.length} were there already.`);
for (const problem of problems) console.log(`Note: ${problem}`);
console.log("A vehicle's certificate: npx latticeway certs issue <vehicle-id>");
