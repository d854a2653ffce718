// Verifies a receipt in a worker of the page, by WebCrypto alone and the fleet's root: checks 1 to 15 of the receipt verifier,
// in that order. Nothing is fetched here and nothing is believed but the root. It refuses where it is not sure.
"use strict";
const FORMAT = "framegate-receipt-1";
const BATCH_TYPE = "application/vnd.framegate.receipt-batch+json";
const RESULT_TYPE = "application/vnd.framegate.inference-result+json";
const CHECKPOINT_TYPE = "application/vnd.framegate.log-checkpoint+json";
const PROFILE_1 = "tag:framegate,2026:receipt-1";
const PROFILE_2 = "tag:framegate,2026:receipt-2";
const ARCS = /^(?:1\.2\.840\.113556\.1\.8000\.2554\.32015\.15386\.23406\.19501\.39563\.2043453\.5004138|2\.25\.166232602958797428473494274907401116522)\.(.+)$/;
const DEVICE = "1";
const VERDICT = "8";
const LOG = "9";
const INFERENCE = "20";
const MIN_INSPECTED = 60; // percent of the picture
const INSPECTED_OF = ["", "outline", "foreground"];
const MAX_ISOLATION = 500; // letters
const MAX_RESULT_AGE_MS = 60000; // between a model server's signature and the leaf, either way
const MAX_RECEIPT_BYTES = 512 * 1024;
const MAX_PATH = 64;
const CURVES = {
  "1.2.840.10045.3.1.7": { name: "P-256", bytes: 32 },
  "1.3.132.0.34": { name: "P-384", bytes: 48 },
  "1.3.132.0.35": { name: "P-521", bytes: 66 },
};
const HASHES = {
  "1.2.840.10045.4.3.2": "SHA-256",
  "1.2.840.10045.4.3.3": "SHA-384",
  "1.2.840.10045.4.3.4": "SHA-512",
};

class Refused extends Error {
  constructor(check, text) {
    super(text);
    this.check = check;
  }
}

class Pending extends Refused {}

function need(truth, check, text) {
  if (!truth) throw new Refused(check, text);
}

/* bytes */

const utf8 = new TextEncoder();
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function joined(...parts) {
  const whole = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

const same = (a, b) => a.length === b.length && a.every((byte, i) => byte === b[i]);
const hex = (bytes) => Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));

function unhex(text) {
  if (typeof text !== "string" || !/^(?:[0-9a-f]{2})*$/.test(text)) throw new Error("no hexadecimal digits");
  return Uint8Array.from(text.match(/../g) || [], (pair) => parseInt(pair, 16));
}

function raw(text) {
  const whole = typeof text === "string" && text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text);
  if (!whole) throw new Error("no base64");
  const bytes = atob(text);
  if (btoa(bytes) !== text) throw new Error("another base64 of the same bytes"); // RFC 4648 section 3.5
  return Uint8Array.from(bytes, (letter) => letter.charCodeAt(0));
}

const STRINGS = /"(?:[^"\\]|\\.)*"(\s*:)?/g; // of a text that is JSON; with a colon it names a member

function memberCount(value) {
  if (value === null || typeof value !== "object") return 0;
  const own = Array.isArray(value) ? 0 : Object.keys(value).length;
  return Object.values(value).reduce((count, one) => count + memberCount(one), own);
}

function object(bytes) {
  if (bytes.length > MAX_RECEIPT_BYTES) throw new Error("too large");
  const text = strict.decode(bytes);
  const value = JSON.parse(text);
  const named = [...text.matchAll(STRINGS)].filter((found) => found[1]).length;
  if (named !== memberCount(value)) throw new Error("a member that is there twice"); // of which some readers take the first
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw new Error("no JSON object");
  return value;
}

function whole(value) {
  if (!Number.isSafeInteger(value) || value < 0) throw new Error("no whole number");
  return value;
}

/* DER, as far as certificates and signatures need it (X.690, definite lengths) */

function element(bytes, at = 0) {
  const tag = bytes[at];
  let size = bytes[at + 1];
  let start = at + 2;
  if (tag === undefined || size === undefined || (tag & 31) === 31) throw new Error("DER is cut off");
  if (size & 128) {
    const count = size & 127;
    if (count === 0 || count > 3) throw new Error("a DER length");
    size = 0;
    for (let i = 0; i < count; i += 1) size = size * 256 + bytes[start + i];
    if (!(size >= 128) || bytes[start] === 0) throw new Error("a DER length");
    start += count;
  }
  if (start + size > bytes.length) throw new Error("DER is cut off");
  return { tag, body: bytes.subarray(start, start + size), all: bytes.subarray(at, start + size), end: start + size };
}

function only(bytes) {
  const one = element(bytes);
  if (one.end !== bytes.length) throw new Error("trailing bytes");
  return one;
}

function members(one, tag) {
  if (one.tag !== tag) throw new Error("another DER type");
  const list = [];
  for (let at = 0; at < one.body.length; at = list.at(-1).at) {
    const next = element(one.body, at);
    list.push({ ...next, at: next.end });
  }
  return list;
}

function oid(one) {
  if (one.tag !== 6 || !one.body.length || one.body.at(-1) & 128) throw new Error("no object identifier");
  const numbers = [];
  let number = 0n;
  for (const byte of one.body) {
    number = number * 128n + BigInt(byte & 127);
    if (byte & 128) continue;
    numbers.push(number);
    number = 0n;
  }
  const first = numbers.shift();
  const top = first < 80n ? first / 40n : 2n;
  return [top, first - top * 40n, ...numbers].join(".");
}

function moment(one) {
  const text = strict.decode(one.body);
  const form = one.tag === 23 ? /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/ : /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/;
  const parts = (one.tag === 23 || one.tag === 24) && form.exec(text);
  if (!parts) throw new Error("no time of a certificate");
  const [year, month, ...rest] = parts.slice(1).map(Number);
  const century = one.tag === 24 ? 0 : year < 50 ? 2000 : 1900;
  return Date.UTC(century + year, month - 1, ...rest);
}

function certificate(der) {
  const [tbs, algorithm, signature] = members(only(der), 48);
  const parts = members(tbs, 48);
  if (parts[0].tag !== 0xa0) throw new Error("no certificate of version 3");
  const [, , inner, issuer, validity, subject, spki] = parts;
  if (!same(inner.all, algorithm.all)) throw new Error("two signature algorithms");
  if (signature.tag !== 3 || signature.body[0] !== 0) throw new Error("no signature");
  const [first, last] = members(validity, 48);
  const extensions = new Map();
  const listed = parts.find((p) => p.tag === 0xa3);
  for (const extension of listed ? members(only(listed.body), 48) : []) {
    const fields = members(extension, 48);
    const name = oid(fields[0]);
    if (extensions.has(name)) throw new Error("an extension twice");
    extensions.set(name, fields.at(-1).body);
  }
  return {
    tbs: tbs.all, hash: HASHES[oid(members(algorithm, 48)[0])], signature: signature.body.subarray(1),
    issuer: issuer.all, subject: subject.all, spki: spki.all, extensions, firstMs: moment(first), lastMs: moment(last),
  };
}

function extension(cert, name) {
  const body = cert.extensions.get(name);
  if (!body) throw new Error(`no extension ${name}`);
  return members(only(body), 48);
}

function isAuthority(cert) {
  const [ca] = extension(cert, "2.5.29.19");
  return Boolean(ca) && ca.tag === 1 && ca.body[0] === 255;
}

const purposes = (cert) => extension(cert, "2.5.29.37").map((o) => ARCS.exec(oid(o))).filter(Boolean).map((m) => m[1]);

const COMMON_NAME = "2.5.4.3";
const ORGANIZATION = "2.5.4.10";

function named(cert, attribute) {
  const attributes = members(only(cert.subject), 48).flatMap((set) => members(set, 49));
  const names = attributes.map((a) => members(a, 48)).filter(([type]) => oid(type) === attribute);
  if (names.length !== 1) throw new Error("not one name");
  return strict.decode(names[0][1].body);
}

// uniformResourceIdentifier, [6] of a GeneralName (RFC 5280, 4.2.1.6)
const uris = (cert) => extension(cert, "2.5.29.17").filter((n) => n.tag === 0x86).map((n) => strict.decode(n.body));

function fromPem(text) {
  const body = /^\s*-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*$/.exec(text);
  if (!body) throw new Error("no root in PEM, or several");
  return raw(body[1].replace(/\s/g, ""));
}

/* signatures: ECDSA in DER, which WebCrypto wants as two numbers of the curve's length */

async function signed(spki, hash, signature, message) {
  const [algorithm] = members(only(spki), 48);
  const [kind, parameters] = members(algorithm, 48);
  const curve = parameters && CURVES[oid(parameters)];
  if (oid(kind) !== "1.2.840.10045.2.1" || !curve || !hash) return false;
  const numbers = members(only(signature), 48);
  if (numbers.length !== 2) return false;
  const padded = new Uint8Array(2 * curve.bytes);
  for (const [place, number] of numbers.entries()) {
    let value = number.body;
    if (number.tag !== 2 || !value.length || value[0] & 128) return false;
    if (value[0] === 0) value = value.subarray(1);
    if (value.length > curve.bytes) return false;
    padded.set(value, (place + 1) * curve.bytes - value.length);
  }
  const key = await crypto.subtle.importKey("spki", spki, { name: "ECDSA", namedCurve: curve.name }, false, ["verify"]);
  return crypto.subtle.verify({ name: "ECDSA", hash }, key, padded, message);
}

async function issuedBy(cert, issuer) {
  if (!same(cert.issuer, issuer.subject)) throw new Error("another issuer");
  if (!(await signed(issuer.spki, cert.hash, cert.signature, cert.tbs))) throw new Error("its issuer did not sign it");
}

const lived = (cert, ms) => cert.firstMs <= ms && ms <= cert.lastMs;

async function chained(bytes, authorities, root, purpose) {
  const leaf = certificate(bytes);
  if (purposes(leaf).join() !== purpose || isAuthority(leaf)) throw new Error("another purpose");
  if (same(leaf.issuer, root.subject)) {
    await issuedBy(leaf, root);
    return leaf;
  }
  let issuer = null;
  for (const der of authorities) {
    const one = certificate(der);
    if (same(one.subject, leaf.issuer)) {
      issuer = one;
      break;
    }
  }
  if (!issuer) throw new Error("no issuing CA");
  await issuedBy(issuer, root);
  if (!isAuthority(issuer) || !purposes(issuer).includes(purpose)) throw new Error("an issuing CA for something else");
  await issuedBy(leaf, issuer);
  return leaf;
}

async function signer(check, der, trust, purpose, atMs) {
  let cert;
  let name;
  try {
    cert = await chained(der, trust.authorities, trust.root, purpose);
    name = named(cert, COMMON_NAME);
  } catch (error) {
    throw new Refused(check, `a certificate of this fleet for ${purpose}: ${error.message}`);
  }
  need(atMs === null || lived(cert, atMs), check, "the certificate did not live then");
  return { cert, name };
}

async function signature(check, cert, bytes, message) {
  let holds = false;
  try {
    holds = await signed(cert.spki, "SHA-256", bytes, message);
  } catch { /* one that cannot be read holds as little */ }
  need(holds, check, "the signature does not hold");
}

const pae = (kind, payload) => joined(utf8.encode(`DSSEv1 ${kind.length} ${kind} ${payload.length} `), payload);

function envelope(text, kind) {
  const body = object(raw(text));
  if (body.signatures.length !== 1 || body.payloadType !== kind) throw new Error("another envelope");
  return { payload: raw(body.payload), signature: raw(body.signatures[0].sig), cert: raw(body.signatures[0].cert) };
}

/* Merkle trees (RFC 9162, 2.1.1 and 2.1.3.2) */

const leafHash = (bytes) => sha256(joined(Uint8Array.of(0), bytes));
const nodeHash = (left, right) => sha256(joined(Uint8Array.of(1), left, right));

async function rootFromPath(leaf, index, size, path) {
  if (whole(index) >= whole(size) || !Array.isArray(path) || path.length > MAX_PATH) throw new Error("a place outside the tree");
  let at = index;
  let last = size - 1;
  let top = leaf;
  for (const step of path) {
    const sibling = raw(step);
    if (sibling.length !== 32 || last === 0) throw new Error("a path of another length");
    if (at % 2 || at === last) {
      top = await nodeHash(sibling, top);
      while (at % 2 === 0 && at) {
        at = Math.floor(at / 2);
        last = Math.floor(last / 2);
      }
    } else {
      top = await nodeHash(top, sibling);
    }
    at = Math.floor(at / 2);
    last = Math.floor(last / 2);
  }
  if (last) throw new Error("a path of another length");
  return top;
}

/* records of the protocol: a label, then members of given kinds, all of the bytes */

const PICTURES = [1, 2]; // encodings that are pictures, of which leaf and verdict name no kind
const NAMED_KINDS = { 3: "series" };
const FIRST_OWN = 128;
const KIND = /^[a-z][a-z0-9-]{0,31}$/;
const METADATA = [["session", "blob"], ["device", "text"], ["part", "text"], ["part_type", "text"], ["trigger_sequence", 8],
  ["captured_at_ms", 8], ["uncertainty_ms", 4], ["encoding", 1], ["width", 4], ["height", 4], ["mask_version", 4],
  ["mask_sha256", "blob"]];
const HEAD = [["session", "blob"], ["device", "text"], ["opening_info", "blob"], ["count", 8], ["root", "blob"],
  ["unanswered", "blob"], ["signed_at_ms", 8]];

function record(bytes, label, fields) {
  const name = utf8.encode(label);
  let at = 1 + name.length;
  if (bytes[0] !== name.length || !same(bytes.subarray(1, at), name)) throw new Error(`no record ${label}`);
  const take = (size) => {
    if (at + size > bytes.length) throw new Error("a record that is cut off");
    at += size;
    return bytes.subarray(at - size, at);
  };
  const number = (size) => whole(take(size).reduce((n, byte) => n * 256 + byte, 0));
  const read = {};
  for (const [field, kind] of fields) {
    if (typeof kind === "number") read[field] = number(kind);
    else {
      const value = take(number(4));
      read[field] = kind === "text" ? strict.decode(value) : value;
    }
  }
  if (at !== bytes.length) throw new Error("trailing bytes");
  return read;
}

/* the checks */

async function reading(check, work) {
  try {
    return await work();
  } catch (error) {
    throw error instanceof Refused ? error : new Refused(check, error.message);
  }
}

function opened(receipt) {
  need(receipt.format === FORMAT, "format", `format ${receipt.format}`);
  const leaf = raw(receipt.leaf);
  const claims = object(leaf);
  const isGap = claims.kind === "gap";
  need(isGap || claims.kind === "verdict", "format", "a leaf of another kind");
  const payload = raw(receipt.verdict);
  const batchPart = envelope(receipt.batch.envelope, BATCH_TYPE);
  return {
    leaf, claims, isGap, payload, batchPart, fg: claims.fg, place: receipt.batch, batch: object(batchPart.payload),
    verdict: isGap ? {} : object(payload), metadata: receipt.metadata ? raw(receipt.metadata) : new Uint8Array(),
    madeMs: whole(claims.iat_ms), authorities: receipt.authorities.map(raw), log: receipt.log, camera: receipt.camera,
  };
}

async function inBatch(r, trust, pass) {
  const by = await signer("batch-signer", r.batchPart.cert, trust, VERDICT, whole(r.batch.closed_at_ms)); // 2
  need(r.batch.recovered || lived(by.cert, r.madeMs), "batch-signer", "the certificate did not live when the leaf was made");
  pass("batch-signer");
  const { isolation = "" } = r.fg;
  const sentence = typeof isolation === "string" && [...isolation].length <= MAX_ISOLATION;
  need(sentence, "format", "isolation is no sentence");
  await signature("batch-signature", by.cert, r.batchPart.signature, pae(BATCH_TYPE, r.batchPart.payload)); // 3
  pass("batch-signature");
  const top = await reading("batch-path", async () => // 4
    rootFromPath(await leafHash(r.leaf), r.place.index, r.batch.count, r.place.path));
  const placed = hex(top) === r.batch.root && r.claims.sequence_number === r.batch.first + r.place.index;
  need(placed, "batch-path", "the leaf is not in the signed batch at its place");
  pass("batch-path");
  need(r.claims.iss === r.batch.gateway && r.claims.iss === by.name, "leaf", "leaf, batch and certificate are of different gateways"); // 5
  pass("leaf");
}

async function sameVerdict(r) {
  const { claims, fg, verdict } = r;
  need(hex(await sha256(r.payload)) === claims.response_hash, "verdict", "the verdict is not the one the leaf was made for");
  const pairs = [[claims.cti, verdict.verdict_id], [claims.iss, verdict.gateway], [claims.model_hash, verdict.model_sha256],
    [claims.request_hash, verdict.input_sha256], [fg.session, verdict.session],
    [fg.stage ?? null, verdict.stage ?? null], // of a zone that is piloted, and no other
    ...["device", "part", "part_type", "trigger_sequence", "counter", "outcome", "reason", "result_id", "golden_sha256"]
      .map((name) => [fg[name], verdict[name]])];
  need(pairs.every(([ours, theirs]) => ours !== undefined && ours === theirs), "verdict", "leaf and verdict differ");
  const [ours, theirs] = [fg, verdict].map((said) => ("payload_kind" in said ? said.payload_kind : ""));
  need(ours === theirs, "verdict", "leaf and verdict differ");
  const kind = fg.payload_kind;
  const named = !("payload_kind" in fg) || (typeof kind === "string" && KIND.test(kind) && kind !== "image");
  need(named, "payload", "a kind of payload that has no such name"); // 14
}

function ofKind(named, encoding) {
  let fits = named !== undefined && !Object.values(NAMED_KINDS).includes(named);
  if (PICTURES.includes(encoding)) fits = named === undefined;
  else if (encoding < FIRST_OWN) fits = named !== undefined && named === NAMED_KINDS[encoding];
  need(fits, "payload", `a verdict on ${named || "a picture"}, and the camera sealed encoding ${encoding}`);
}

function inspected({ claims, fg, verdict }) {
  const name = "inspected_percent";
  if (claims.eat_profile === PROFILE_1 && !(name in fg) && !(name in verdict)) return;
  const share = fg[name];
  const nothing = fg.outcome === "UNINSPECTED";
  const [least, most] = nothing ? [0, 0] : [MIN_INSPECTED, 100];
  const [of, theirs] = [fg, verdict].map((said) => ("inspected_of" in said ? said.inspected_of : ""));
  const known = of === theirs && (nothing ? of === "" : INSPECTED_OF.includes(of));
  const right = known && claims.eat_profile === PROFILE_2 && share === verdict[name] && Number.isInteger(share) && least <= share && share <= most;
  need(right, "inspected", `${least} to ${most} % of the picture in leaf and verdict`);
}

async function inLog(r, trust, pass) {
  if (!r.log) throw new Pending("log-path", "the batch's place in the log is not there so far");
  const { payload, signature: bytes, cert, checkpoint, entryBytes, entry } = await reading("format", () => {
    const signedHead = envelope(r.log.checkpoint, CHECKPOINT_TYPE);
    const entryRead = raw(r.log.entry);
    return { ...signedHead, checkpoint: object(signedHead.payload), entryBytes: entryRead, entry: object(entryRead) };
  });
  const by = await signer("log-signer", cert, trust, LOG, checkpoint.at_ms);
  await signature("log-signature", by.cert, bytes, pae(CHECKPOINT_TYPE, payload));
  const top = await reading("log-path", async () =>
    rootFromPath(await leafHash(entryBytes), r.log.index, checkpoint.size, r.log.path));
  const named = entry.kind === "receipt-batch" && entry.batch_sha256 === hex(await sha256(r.batchPart.payload));
  need(hex(top) === checkpoint.root && named, "log-path", "this batch is not in the log at its place");
  pass("log-path");
}

function gap({ fg, payload, metadata, camera }) {
  need(!payload.length && !metadata.length && !camera, "gap", "a gap with a verdict, a frame or a camera's head");
  need(fg.outcome === "UNINSPECTED" && fg.reason === "frame-gap", "gap", "a gap that is something else");
  const { first, last, count } = fg;
  const right = [first, last, count].every(Number.isSafeInteger) && 0 <= first && first <= last && 1 <= count && count <= last - first + 1;
  need(right, "gap", "a count that does not fit");
}

async function ofCamera(r, trust, pass) {
  const { claims, fg, metadata } = r;
  if (!claims.request_hash) {
    need(fg.outcome === "UNINSPECTED", "frame", "an outcome without a frame");
    return;
  }
  const session = unhex(fg.session);
  const frame = await reading("frame", () => record(metadata, "framegate/v1/frame", METADATA)); // 8
  const digest = hex(await sha256(metadata));
  need(digest === fg.frame_metadata_sha256 && same(frame.session, session), "frame", "the metadata is not that of the leaf");
  const alike = ["device", "part", "part_type", "trigger_sequence", "mask_version"].every((name) => frame[name] === fg[name]);
  need(alike, "frame", "metadata and leaf differ");
  pass("frame");
  ofKind(fg.payload_kind, frame.encoding); // 14
  pass("payload");
  if (!r.camera) throw new Pending("camera-head", "the camera has not signed for this frame so far");
  const { bytes, head, cert, by: signatureBytes } = await reading("camera-head", () => {
    const read = raw(r.camera.head);
    const made = record(read, "framegate/v1/frame-head", HEAD);
    if (made.unanswered.length % 4) throw new Error("a list that is cut off");
    return { bytes: read, head: made, by: raw(r.camera.signature), cert: raw(r.camera.certificate) };
  });
  const by = await signer("camera-signer", cert, trust, DEVICE, null); // 9
  need(by.name === fg.device, "camera-signer", "a certificate of another device");
  need(lived(by.cert, r.madeMs), "camera-signer", "the camera's certificate did not live when the frame was inspected");
  pass("camera-signer");
  await signature("camera-head", by.cert, signatureBytes, joined(utf8.encode("framegate/v1/sign-frame-head\0"), bytes)); // 10
  need(same(head.session, session) && head.device === by.name, "camera-head", "a head of another session");
  pass("camera-head");
  const top = await reading("camera-path", async () => { // 11
    const image = unhex(claims.request_hash);
    return rootFromPath(await leafHash(joined(await sha256(metadata), image)), fg.counter, head.count, r.camera.path);
  });
  need(same(top, head.root), "camera-path", "the camera did not sign for this frame at this place");
  pass("camera-path");
}

// By a server of another fleet it stays open: this page has one root, and `receipt_verifier.py --site-root` takes more.
async function ofBackend(r, trust, pass) {
  const { claims, fg } = r;
  if (!("backend" in fg)) return;
  need(fg.outcome !== "UNINSPECTED", "backend", "a result of a model server, and nothing was inspected");
  const { payload, bytes, der, said, issuedMs, authorities, ours } = await reading("backend", () => {
    const sealed = envelope(fg.backend.envelope, RESULT_TYPE);
    const result = object(sealed.payload);
    const listed = fg.backend.authorities.map(raw);
    const { issuer } = certificate(sealed.cert);
    return {
      payload: sealed.payload, bytes: sealed.signature, der: sealed.cert, said: result, issuedMs: whole(result.issued_at_ms),
      authorities: listed,
      ours: listed.map(certificate).some((a) => same(a.subject, issuer) && same(a.issuer, trust.root.subject)),
    };
  });
  if (!ours) throw new Pending("backend", "computed on a server of another fleet, whose root is not here");
  const by = await signer("backend", der, { root: trust.root, authorities }, INFERENCE, issuedMs);
  const own = await reading("backend", () =>
    uris(by.cert).join(" ") === `spiffe://${named(trust.root, ORGANIZATION)}.framegate/${by.name.replaceAll(".", "/")}`);
  need(own && by.name.startsWith("backend.") && by.name === said.backend, "backend", "a result of another server than signed it");
  await signature("backend", by.cert, bytes, pae(RESULT_TYPE, payload));
  need(Math.abs(issuedMs - r.madeMs) <= MAX_RESULT_AGE_MS, "backend", "the result was made at another time than the leaf");
  const pairs = [[claims.model_hash, said.model_sha256], [claims.request_hash, said.frame_sha256]];
  need(pairs.every(([mine, its]) => mine && mine === its), "backend", "leaf and result are of different models or frames");
  pass("backend");
}

async function checked(receipt, rootPem, pass) {
  const root = await reading("root", () => certificate(fromPem(rootPem)));
  const r = await reading("format", () => opened(receipt)); // 1
  pass("format");
  const trust = { root, authorities: r.authorities };
  await inBatch(r, trust, pass);
  if (!r.isGap) {
    await sameVerdict(r); // 6
    pass("verdict");
    inspected(r); // 13
    pass("inspected");
  }
  // a proof that is not there is told only after all that are there hold
  const open = [];
  const late = async (work) => {
    try {
      await work(r, trust, pass);
    } catch (error) {
      if (!(error instanceof Pending)) throw error;
      open.push(error);
    }
  };
  await late(inLog); // 7
  if (r.isGap) {
    gap(r); // 12
    pass("gap");
  } else {
    await late(ofBackend); // 15
    await late(ofCamera);
  }
  if (open.length) throw open[0];
}

// { state: holds, pending or refused; check: the one that failed; text: why; passed: those that held }
async function verified(text, rootPem) {
  const passed = [];
  try {
    const receipt = await reading("format", () => object(utf8.encode(text)));
    await checked(receipt, rootPem, (check) => passed.push(check));
    return { state: "holds", check: "", text: "", passed };
  } catch (error) {
    if (error instanceof Pending) return { state: "pending", check: error.check, text: error.message, passed };
    return { state: "refused", check: error.check || "format", text: error.message, passed };
  }
}

if (typeof WorkerGlobalScope !== "undefined") {
  addEventListener("message", async ({ data }) => postMessage(await verified(data.receipt, data.root)));
} else {
  module.exports = { verified };
}
