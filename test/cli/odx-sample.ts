const param = (type: string, position: number | undefined, inner: string) =>
  `<PARAM xsi:type="${type}"><SHORT-NAME>${type}${position ?? ""}</SHORT-NAME>${
    position === undefined ? "" : `<BYTE-POSITION>${position}</BYTE-POSITION>`
  }${inner}</PARAM>`;

const constant = (position: number | undefined, value: number, bits: number) =>
  param(
    "CODED-CONST",
    position,
    `<CODED-VALUE>${value}</CODED-VALUE><DIAG-CODED-TYPE BASE-DATA-TYPE="A_UINT32" xsi:type="STANDARD-LENGTH-TYPE"><BIT-LENGTH>${bits}</BIT-LENGTH></DIAG-CODED-TYPE>`,
  );

const value = (name: string, position: number | undefined, reference: string) =>
  `<PARAM xsi:type="VALUE" SEMANTIC="DATA"><SHORT-NAME>${name}</SHORT-NAME>${
    position === undefined ? "" : `<BYTE-POSITION>${position}</BYTE-POSITION>`
  }${reference}</PARAM>`;

const dopRef = (id: string) => `<DOP-REF ID-REF="${id}"/>`;

const prop = (id: string, type: string, method = "<CATEGORY>IDENTICAL</CATEGORY>", unit = "") =>
  `<DATA-OBJECT-PROP ID="${id}"><SHORT-NAME>${id}_name</SHORT-NAME><COMPU-METHOD>${method}</COMPU-METHOD>${type}${unit}</DATA-OBJECT-PROP>`;

const fixed = (base: string, bits: number, attributes = "") =>
  `<DIAG-CODED-TYPE BASE-DATA-TYPE="${base}" ${attributes} xsi:type="STANDARD-LENGTH-TYPE"><BIT-LENGTH>${bits}</BIT-LENGTH></DIAG-CODED-TYPE>`;

const linear = `<CATEGORY>LINEAR</CATEGORY><COMPU-INTERNAL-TO-PHYS><COMPU-SCALES><COMPU-SCALE><COMPU-RATIONAL-COEFFS><COMPU-NUMERATOR><V>-400</V><V>1</V></COMPU-NUMERATOR><COMPU-DENOMINATOR><V>10</V></COMPU-DENOMINATOR></COMPU-RATIONAL-COEFFS></COMPU-SCALE></COMPU-SCALES></COMPU-INTERNAL-TO-PHYS>`;

const texts = `<CATEGORY>TEXTTABLE</CATEGORY><COMPU-INTERNAL-TO-PHYS><COMPU-SCALES><COMPU-SCALE><LOWER-LIMIT>0</LOWER-LIMIT><UPPER-LIMIT>0</UPPER-LIMIT><COMPU-CONST><VT>off</VT></COMPU-CONST></COMPU-SCALE><COMPU-SCALE><LOWER-LIMIT INTERVAL-TYPE="CLOSED">1</LOWER-LIMIT><UPPER-LIMIT>2</UPPER-LIMIT><COMPU-CONST><VT>on &amp; hot</VT></COMPU-CONST></COMPU-SCALE></COMPU-SCALES></COMPU-INTERNAL-TO-PHYS>`;

const service = (name: string, id: number) =>
  `<DIAG-SERVICE ID="S${id}" SEMANTIC="IDENTIFICATION"><SHORT-NAME>${name}</SHORT-NAME><REQUEST-REF ID-REF="RQ${id}"/><POS-RESPONSE-REFS><POS-RESPONSE-REF ID-REF="PR${id}"/></POS-RESPONSE-REFS></DIAG-SERVICE>`;
const request = (id: number, params: string) =>
  `<REQUEST ID="RQ${id}"><SHORT-NAME>RQ${id}</SHORT-NAME><PARAMS>${params}</PARAMS></REQUEST>`;
const response = (id: number, params: string) =>
  `<POS-RESPONSE ID="PR${id}"><SHORT-NAME>PR${id}</SHORT-NAME><PARAMS>${params}</PARAMS></POS-RESPONSE>`;

/** The request of a DID, in one constant or in two, and the head of its answer. */
const readDid = (did: number) => constant(0, 0x22, 8) + constant(1, did, 16);
const answered = (did: number) => constant(0, 0x62, 8) + constant(1, did, 16);
const matching = (length: number) =>
  param(
    "MATCHING-REQUEST-PARAM",
    1,
    `<REQUEST-BYTE-POS>1</REQUEST-BYTE-POS><BYTE-LENGTH>${length}</BYTE-LENGTH>`,
  );

const layer = `
<SHORT-NAME>EngineVariant</SHORT-NAME>
<DIAG-DATA-DICTIONARY-SPEC>
 <DTC-DOPS><DTC-DOP ID="DD"><SHORT-NAME>Codes</SHORT-NAME>${fixed("A_UINT32", 24)}<DTCS>
  <DTC ID="D1"><SHORT-NAME>D1</SHORT-NAME><TROUBLE-CODE>353814</TROUBLE-CODE><DISPLAY-TROUBLE-CODE>P0566</DISPLAY-TROUBLE-CODE><TEXT TI="x">Battery &lt; 9 V</TEXT></DTC>
  <DTC ID="D2"><SHORT-NAME>LostAbs</SHORT-NAME><TROUBLE-CODE>0xC121</TROUBLE-CODE></DTC>
  <DTC ID="D3"><SHORT-NAME>Bad</SHORT-NAME><TROUBLE-CODE>many</TROUBLE-CODE></DTC>
 </DTCS></DTC-DOP></DTC-DOPS>
 <DATA-OBJECT-PROPS>
  ${prop("VIN", fixed("A_ASCIISTRING", 136, 'BASE-TYPE-ENCODING="ISO-8859-1"'))}
  ${prop("TEMP", fixed("A_INT32", 16), linear, '<UNIT-REF ID-REF="U1"/>')}
  ${prop("STATE", fixed("A_UINT32", 8), texts)}
  ${prop("SWAPPED", fixed("A_UINT32", 16, 'IS-HIGHLOW-BYTE-ORDER="false"'))}
  ${prop("FLAG", fixed("A_UINT32", 1))}
  ${prop("CURVE", fixed("A_UINT32", 16), "<CATEGORY>TAB-INTP</CATEGORY>")}
  ${prop("TEXT", '<DIAG-CODED-TYPE BASE-DATA-TYPE="A_UTF8STRING" TERMINATION="END-OF-PDU" xsi:type="MIN-MAX-LENGTH-TYPE"><MIN-LENGTH>1</MIN-LENGTH></DIAG-CODED-TYPE>')}
 </DATA-OBJECT-PROPS>
 <STRUCTURES><STRUCTURE ID="ST"><SHORT-NAME>Block</SHORT-NAME><PARAMS>
  ${value("outer", 0, dopRef("TEMP"))}${value("state", 3, dopRef("STATE"))}
 </PARAMS></STRUCTURE></STRUCTURES>
 <UNIT-SPEC><UNITS><UNIT ID="U1"><SHORT-NAME>degC</SHORT-NAME><DISPLAY-NAME>°C</DISPLAY-NAME></UNIT></UNITS></UNIT-SPEC>
</DIAG-DATA-DICTIONARY-SPEC>
<DIAG-COMMS>
 ${service("Read_VIN", 1)}${service("Read_Block", 2)}${service("Read_Flags", 3)}${service("Read_Text", 4)}
 ${service("Bleed", 5)}${service("Write_VIN", 6)}${service("Read_Swapped", 7)}${service("Read_Curve", 8)}
 ${service("Dangling", 99)}
</DIAG-COMMS>
<REQUESTS>
 ${request(1, readDid(0xf190))}
 ${request(2, constant(undefined, 0x22, 8) + constant(undefined, 0x02, 8) + constant(undefined, 0x00, 8))}
 ${request(3, readDid(0x0201))}
 ${request(4, readDid(0x0202))}
 ${request(5, constant(0, 0x31, 8) + constant(1, 0x01, 8) + constant(2, 0x0300, 16) + value("circuit", 4, dopRef("STATE")))}
 ${request(6, constant(0, 0x2e, 8) + constant(1, 0xf190, 16))}
 ${request(7, readDid(0x0203))}
 ${request(8, readDid(0x0204))}
</REQUESTS>
<POS-RESPONSES>
 ${response(1, answered(0xf190) + value("vin", 3, dopRef("VIN")))}
 ${response(2, constant(0, 0x62, 8) + matching(2) + value("block", 3, dopRef("ST")))}
 ${response(3, answered(0x0201) + value("a", 3, dopRef("FLAG")) + value("b", 3, dopRef("FLAG")))}
 ${response(4, answered(0x0202) + value("text", 3, '<DOP-SNREF SHORT-NAME="TEXT_name"/>'))}
 ${response(5, constant(0, 0x71, 8) + constant(1, 0x01, 8) + constant(2, 0x0300, 16) + value("temp", 4, dopRef("TEMP")))}
 ${response(6, constant(0, 0x6e, 8))}
 ${response(7, answered(0x0203) + value("swapped", 3, dopRef("SWAPPED")))}
 ${response(8, answered(0x0204) + value("curve", undefined, dopRef("CURVE")))}
</POS-RESPONSES>`;

/** An ODX 2.2 document as an authoring tool might export it, by hand. */
export const sampleOdx = `<?xml version="1.0" encoding="UTF-8"?>
<!-- sample -->
<ODX MODEL-VERSION="2.2.0" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<DIAG-LAYER-CONTAINER ID="DLC"><SHORT-NAME>Engine</SHORT-NAME>
<BASE-VARIANTS><BASE-VARIANT ID="BV">${layer}</BASE-VARIANT></BASE-VARIANTS>
</DIAG-LAYER-CONTAINER></ODX>`;
