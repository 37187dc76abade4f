// Checks every vector with the functions of draw.js, which stand in the same scope. Answers {checked, problems}.
function check(vectors) {
  const problems = [];
  let checked = 0;
  const want = (what, got, wanted) => {
    checked++;
    if (String(got) !== String(wanted)) problems.push(what + ": " + got + ", want " + wanted);
  };
  for (const v of vectors.sha256) want("sha256 of " + v.of, toHex(sha256(fromHex(v.of))), v.sum);
  for (const v of vectors.commitment) want("commitment", toHex(commitment(fromHex(v.secret))), v.commitment);
  for (const v of vectors.seed) {
    want("seed", toHex(seed(v.event_id, fromHex(v.secret), fromHex(v.root), fromHex(v.beacon))), v.seed);
  }
  for (const v of vectors.lane_key) want("key of lane " + v.lane, toHex(laneKey(fromHex(v.seed), v.lane)), v.key);
  for (const v of vectors.leaf) want("leaf", toHex(leafHash(fromHex(v.body))), v.hash);
  const leaves = Array.from({ length: 300 }, (_, i) => leafHash(exampleChunk(i)));
  for (const v of vectors.root) want("root of " + v.size, toHex(merkleRoot(leaves.slice(0, v.size))), v.root);
  for (const v of vectors.inclusion) checkInclusion(v, want);
  for (const v of vectors.permutation) checkPermutation(v, want);
  for (const v of vectors.receipt) checkReceipt(v, want);
  return { checked, problems };
}

// The chunks of the example trees, as docs/draw.md has them.
function exampleChunk(i) {
  const body = [1];
  for (let j = 0; j < 1 + (i % 3); j++) body.push(0, 0, 0, 0, 0, 0, i >> 8, i & 255, 0, 0, 0, 0, 0, 0, 0, j);
  return Uint8Array.from(body);
}

function checkInclusion(v, want) {
  const [root, body, path] = [fromHex(v.root), fromHex(v.body), v.path.map(fromHex)];
  const what = "leaf " + v.leaf + " of " + v.size;
  want(what, verifyInclusion(root, v.size, v.leaf, body, path), true);
  if (v.size > 5) return; // what is wrong in a small tree is wrong in a large one, where it takes long
  want(what + " with another root", verifyInclusion(leafHash(root), v.size, v.leaf, body, path), false);
  want(what + " with another body", verifyInclusion(root, v.size, v.leaf, root, path), false);
  want(what + " with a longer path", verifyInclusion(root, v.size, v.leaf, body, [...path, root]), false);
  want(what + " outside", verifyInclusion(root, v.size, v.size, body, path), false);
  if (v.size > 1) {
    want(what + " with another index", verifyInclusion(root, v.size, v.leaf ^ 1, body, path), false);
    want(what + " with a shorter path", verifyInclusion(root, v.size, v.leaf, body, path.slice(1)), false);
  }
}

function checkPermutation(v, want) {
  const p = permutation(fromHex(v.key), v.n);
  const pairs = v.places ? v.places.map((place, arrival) => [arrival, place]) : v.spots;
  for (const [arrival, place] of pairs) {
    want(v.n + " joins: place of " + arrival, p.place(arrival), place);
    want(v.n + " joins: arrival of " + place, p.arrival(place), arrival);
  }
}

function checkReceipt(v, want) {
  const [root, session] = [fromHex(v.root), fromHex(v.session_hash)];
  want("session hash", toHex(sessionHash(v.receipt.event_id, v.session)), v.session_hash);
  want("receipt", verifyReceipt(v.receipt, root, session), true);
  want("receipt of another session", verifyReceipt(v.receipt, root, root.slice(0, 16)), false);
  want("receipt under another root", verifyReceipt(v.receipt, leafHash(root), session), false);
  for (const [field, value] of [["lane", ""], ["sequence", v.receipt.sequence + 1], ["index", 0], ["index", 99]]) {
    want("receipt with another " + field, verifyReceipt({ ...v.receipt, [field]: value }, root, session), false);
  }
}
