// The proof of work of a join: finds a nonce such that
//
//   SHA-256("onsale proof v1\n" event "\n" challenge "\n" session "\n" spaces nonce)
//
// begins with as many zero bits as the challenge's difficulty, where the spaces fill what is before them up to a
// multiple of 64 bytes. All of it is ASCII. An ES module without dependencies. It computes on the thread that calls
// it, so a page runs it as a worker and goes on drawing:
//
//   const worker = new Worker("/pow.js", { type: "module" });
//   worker.onmessage = ({ data }) => join({ session, proof: data }); // data is null only where nothing was found
//   worker.postMessage({ event, session, challenge }); // the challenge as the server told it
//
// The hash is FIPS 180-4's, written out here because the browser's own takes a promise for each try, which is slower.

const constants = new Int32Array([
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
]);

const start = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];

// schedule is the room for the words of one block.
const schedule = new Int32Array(64);

// compress adds one block, the first 16 words of the schedule, to a state of 8 words and writes it to another.
function compress(from, to) {
  const w = schedule;
  for (let i = 16; i < 64; i++) {
    const x = w[i - 15], y = w[i - 2];
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    w[i] = (w[i - 16] + s0 + w[i - 7] + s1) | 0;
  }
  let a = from[0], b = from[1], c = from[2], d = from[3], e = from[4], f = from[5], g = from[6], h = from[7];
  for (let i = 0; i < 64; i++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + constants[i] + w[i]) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g; g = f; f = e; e = (d + t1) | 0;
    d = c; c = b; b = a; a = (t1 + t2) | 0;
  }
  to[0] = from[0] + a; to[1] = from[1] + b; to[2] = from[2] + c; to[3] = from[3] + d;
  to[4] = from[4] + e; to[5] = from[5] + f; to[6] = from[6] + g; to[7] = from[7] + h;
}

// word is four ASCII characters as a big-endian word.
function word(text, at) {
  return (text.charCodeAt(at) << 24) | (text.charCodeAt(at + 1) << 16) | (text.charCodeAt(at + 2) << 8) | text.charCodeAt(at + 3);
}

// solve finds the first nonce from a number on, within a number of tries, as the object that goes into the join's
// body; null where there is none, or where more bits are wanted than anyone asks for.
export function solve(event, session, { challenge, difficulty }, from = 0, tries = 2 ** 32) {
  if (!(difficulty <= 24)) return null;
  let prefix = `onsale proof v1\n${event}\n${challenge}\n${session}\n`;
  prefix = prefix.padEnd(Math.ceil(prefix.length / 64) * 64);
  const state = new Int32Array(start), hash = new Int32Array(8);
  for (let at = 0; at < prefix.length; at += 64) {
    for (let i = 0; i < 16; i++) schedule[i] = word(prefix, at + 4 * i);
    compress(state, state);
  }
  const end = Math.min(from + tries, 2 ** 32); // a nonce here has 8 digits
  for (let n = from; n < end; n++) {
    const nonce = n.toString(16).padStart(8, "0");
    schedule.fill(0, 2, 16);
    schedule[0] = word(nonce, 0);
    schedule[1] = word(nonce, 4);
    schedule[2] = 0x80000000;
    schedule[15] = 8 * (prefix.length + 8); // bits in all; what is hashed is far below 2 ** 32 of them
    compress(state, hash);
    if (Math.clz32(hash[0]) >= difficulty) return { challenge, nonce };
  }
  return null;
}

// As a worker: one message in, one answer out.
if (typeof WorkerGlobalScope !== "undefined" && self instanceof WorkerGlobalScope) {
  self.onmessage = ({ data }) => self.postMessage(solve(data.event, data.session, data.challenge));
}
