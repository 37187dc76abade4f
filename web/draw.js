// The draw, checked where the fan is: a second implementation of docs/draw.md, independent of the server's. It is a
// plain ES module without dependencies and without any call to the network, so that it can be read, saved and run
// anywhere. Hashes, keys, secrets, roots and chunks are Uint8Arrays; numbers are exact up to 2^53. What is malformed
// throws a RangeError.

/** How many joins a lane can have before its seal. */
export const MAX_JOINS = 2 ** 40;

const MAX_SHUFFLE = 1024; // up to here a lane is shuffled as a list, above it the keyed network permutes it
const ROUNDS = 12;
const TAG_SHUFFLE = 0xff;

// ---- SHA-256 (FIPS 180-4). Written out, since the browser's own answers later and only on secure pages. ----

const K = new Uint32Array([
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
]);

/** The SHA-256 of bytes: 32 bytes. */
export function sha256(bytes) {
  const state = new Uint32Array([
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
  ]);
  const padded = new Uint8Array(Math.ceil((bytes.length + 9) / 64) * 64);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, Math.floor(bytes.length / 2 ** 29));
  view.setUint32(padded.length - 4, (bytes.length * 8) >>> 0);
  const schedule = new Uint32Array(64);
  for (let at = 0; at < padded.length; at += 64) compress(state, view, at, schedule);
  const sum = new DataView(new ArrayBuffer(32));
  state.forEach((word, i) => sum.setUint32(4 * i, word));
  return new Uint8Array(sum.buffer);
}

// compress takes in one block of 64 bytes. The turns of words are written out: as calls they would double the time.
function compress(state, view, at, w) {
  for (let i = 0; i < 16; i++) w[i] = view.getUint32(at + 4 * i);
  for (let i = 16; i < 64; i++) {
    const a = w[i - 15];
    const b = w[i - 2];
    const s0 = ((a >>> 7) | (a << 25)) ^ ((a >>> 18) | (a << 14)) ^ (a >>> 3);
    const s1 = ((b >>> 17) | (b << 15)) ^ ((b >>> 19) | (b << 13)) ^ (b >>> 10);
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let i = 0; i < 64; i++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t = (h + s1 + ((e & f) ^ (~e & g)) + K[i] + w[i]) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t) | 0;
    d = c;
    c = b;
    b = a;
    a = (t + s0 + ((b & c) ^ (b & d) ^ (c & d))) | 0;
  }
  [a, b, c, d, e, f, g, h].forEach((word, i) => {
    state[i] += word;
  });
}

// ---- Bytes ----

/** Bytes from hexadecimal digits. */
export function fromHex(text) {
  if (!/^([0-9a-fA-F]{2})*$/.test(text)) throw new RangeError("not hexadecimal: " + text);
  return Uint8Array.from({ length: text.length / 2 }, (_, i) => parseInt(text.slice(2 * i, 2 * i + 2), 16));
}

/** Lowercase hexadecimal digits of bytes. */
export function toHex(bytes) {
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

function concat(...parts) {
  const all = new Uint8Array(parts.reduce((length, p) => length + p.length, 0));
  let at = 0;
  for (const p of parts) {
    all.set(p, at);
    at += p.length;
  }
  return all;
}

// Events, lanes and tags are ASCII.
function ascii(text) {
  if (!/^[\x20-\x7e]*$/.test(text)) throw new RangeError("not ASCII: " + text);
  return Uint8Array.from(Array.from(text, (c) => c.charCodeAt(0)));
}

function sized(bytes, what) {
  if (!(bytes instanceof Uint8Array) || bytes.length !== 32) throw new RangeError(what + " must be 32 bytes");
  return bytes;
}

function whole(number, limit, what) {
  if (!Number.isInteger(number) || number < 0 || number > limit) throw new RangeError(what + " is out of range: " + number);
  return number;
}

// ---- Seed ----

// digest hashes parts, each after its length in 4 bytes.
function digest(...parts) {
  return sha256(concat(...parts.flatMap((p) => [u32(p.length), p])));
}

function u32(n) {
  return Uint8Array.of(n >>> 24, n >>> 16, n >>> 8, n);
}

/** What the operator publishes of the secret when the event is made. */
export function commitment(secret) {
  return digest(ascii("onsale draw commitment v1"), sized(secret, "secret"));
}

/** What all lanes follow from. beacon is empty for an event that named none. */
export function seed(eventId, secret, root, beacon = new Uint8Array(0)) {
  return digest(ascii("onsale draw seed v1"), ascii(eventId), sized(secret, "secret"), sized(root, "root"), beacon);
}

/** The key of one lane's order; the general lane's name is empty. */
export function laneKey(seed, lane) {
  return digest(ascii("onsale draw lane v1"), sized(seed, "seed"), ascii(lane));
}

// ---- Places ----

/**
 * The order of a lane with n joins before the seal: {place(arrival), arrival(place)}, each other's inverse. Who
 * joined after the seal keeps the arrival number as place.
 */
export function permutation(key, n) {
  sized(key, "key");
  whole(n, MAX_JOINS, "n");
  const [forward, backward] = n <= MAX_SHUFFLE ? shuffle(key, n) : network(key, n);
  const walk = (step) => (x) => {
    whole(x, Number.MAX_SAFE_INTEGER, "number");
    if (x >= n) return x;
    do x = step(x);
    while (x >= n);
    return x;
  };
  return { place: walk(forward), arrival: walk(backward) };
}

function shuffle(key, n) {
  const arrivals = Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = below(key, TAG_SHUFFLE, i, i + 1);
    [arrivals[i], arrivals[j]] = [arrivals[j], arrivals[i]];
  }
  const places = new Array(n);
  arrivals.forEach((arrival, place) => {
    places[arrival] = place;
  });
  return [(arrival) => places[arrival], (place) => arrivals[place]];
}

function network(key, n) {
  let rows = 2;
  while (rows * rows < n) rows += 2;
  const columns = Math.ceil(n / rows);
  const forward = (x) => {
    let row = Math.floor(x / columns);
    let column = x % columns;
    for (let i = 0; i < ROUNDS; i++) {
      if (i % 2 === 0) row = (row + below(key, i, column, rows)) % rows;
      else column = (column + below(key, i, row, columns)) % columns;
    }
    return row * columns + column;
  };
  const backward = (x) => {
    let row = Math.floor(x / columns);
    let column = x % columns;
    for (let i = ROUNDS - 1; i >= 0; i--) {
      if (i % 2 === 0) row = (row + rows - below(key, i, column, rows)) % rows;
      else column = (column + columns - below(key, i, row, columns)) % columns;
    }
    return row * columns + column;
  };
  return [forward, backward];
}

// below hashes key, tag and v, and takes the first 8 bytes modulo limit. In two halves: with a limit of up to 2^21
// nothing exceeds 2^53.
function below(key, tag, v, limit) {
  const sum = sha256(concat(key, [tag], u32(Math.floor(v / 2 ** 32)), u32(v)));
  const view = new DataView(sum.buffer);
  return ((view.getUint32(0) % limit) * 2 ** 32 + view.getUint32(4)) % limit;
}

// ---- Merkle tree (RFC 6962, section 2.1) ----

/** The leaf of a chunk's body. */
export function leafHash(body) {
  return sha256(concat([0], body));
}

function nodeHash(left, right) {
  return sha256(concat([1], left, right));
}

/** The root over leaf hashes in order. */
export function merkleRoot(leaves) {
  if (leaves.length === 0) return sha256(new Uint8Array(0));
  let level = leaves.slice();
  // Pairs from the left; a last one without a partner moves up as it is, which is RFC 6962's split at powers of two.
  while (level.length > 1) {
    const above = [];
    for (let i = 0; i + 1 < level.length; i += 2) above.push(nodeHash(level[i], level[i + 1]));
    if (level.length % 2 === 1) above.push(level[level.length - 1]);
    level = above;
  }
  return level[0];
}

/** Whether a chunk's body is leaf number leaf of the tree with this size and root (RFC 9162, section 2.1.3.2). */
export function verifyInclusion(root, size, leaf, body, path) {
  whole(size, Number.MAX_SAFE_INTEGER, "size");
  whole(leaf, Number.MAX_SAFE_INTEGER, "leaf");
  if (leaf >= size) return false;
  let at = leaf;
  let last = size - 1;
  let hash = leafHash(body);
  for (const sibling of path) {
    if (last === 0) return false;
    if (at % 2 === 1 || at === last) {
      hash = nodeHash(sibling, hash);
      while (at % 2 === 0 && at !== 0) {
        at /= 2;
        last = Math.floor(last / 2);
      }
    } else {
      hash = nodeHash(hash, sibling);
    }
    at = Math.floor(at / 2);
    last = Math.floor(last / 2);
  }
  return last === 0 && equal(hash, root);
}

function equal(a, b) {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

// ---- Chunks and receipts ----

/** The lane of a chunk and the session hashes in it, in order. */
export function readChunk(body) {
  let lane = "";
  let at = 1;
  let size = 16;
  if (body[0] === 2 && body.length >= 2 + body[1]) {
    at = 2 + body[1];
    size = 16 + 8; // the session's hash and the access code's id
    lane = String.fromCharCode(...body.slice(2, at));
  } else if (body[0] !== 1) {
    throw new RangeError("not a chunk of joins");
  }
  if ((body.length - at) % size !== 0) throw new RangeError("not a chunk of joins");
  const sessions = [];
  for (; at < body.length; at += size) sessions.push(body.slice(at, at + 16));
  return { lane, sessions };
}

/** The hash that stands for a session in the chunks of one event. */
export function sessionHash(eventId, session) {
  return digest(ascii("onsale session v1"), ascii(eventId), ascii(session)).slice(0, 16);
}

/**
 * Whether a receipt, as the server sends it (JSON), proves the join of a session under a root. It does not prove
 * receipt.before: for that one has to count the joins of all earlier chunks.
 */
export function verifyReceipt(receipt, root, session) {
  const body = fromBase64(receipt.chunk);
  const { lane, sessions } = readChunk(body);
  whole(receipt.index, Number.MAX_SAFE_INTEGER, "index");
  return (
    receipt.leaf === receipt.sequence - 1 &&
    receipt.lane === lane &&
    receipt.index < sessions.length &&
    equal(sessions[receipt.index], session) &&
    verifyInclusion(root, receipt.tree_size, receipt.leaf, body, receipt.path.map(fromHex))
  );
}

/** Bytes from standard base64 with padding. */
export function fromBase64(text) {
  const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  if (!/^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text)) throw new RangeError("not base64");
  const bytes = [];
  for (let i = 0; i < text.length; i += 4) {
    const [a, b, c, d] = Array.from(text.slice(i, i + 4), (digit) => digits.indexOf(digit));
    bytes.push((a << 2) | (b >> 4));
    if (c >= 0) bytes.push(((b & 15) << 4) | (c >> 2));
    if (d >= 0) bytes.push(((c & 3) << 6) | d);
  }
  return Uint8Array.from(bytes);
}
