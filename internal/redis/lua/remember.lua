-- remember stores the places of sessions in a line. One that has a place already has two then: the lowest counts.
-- KEYS: 1 what the names of the line's buckets begin with. It names no key itself, and has their slot
-- ARGV: 1 for each bucket two bytes of its name, two of how many places go there (big-endian), and the places,
--       28 bytes each: 16 of session, 8 of sequence and 4 of index, big-endian
-- Returns 0
local sub, byte, call = string.sub, string.byte, redis.call
local line, places = KEYS[1], ARGV[1]
local at = 1
while at <= #places do
  local high, low = byte(places, at + 2, at + 3)
  local last = at + 3 + 28 * (256 * high + low)
  call('APPEND', line .. sub(places, at, at + 1), sub(places, at + 4, last))
  at = last + 1
end
return 0
