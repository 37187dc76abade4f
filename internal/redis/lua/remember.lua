-- remember adds places of sessions to a line. One that has a place already has two then: the lowest counts.
-- KEYS: 1 what the names of the line's keys begin with. It names no key itself, and has their slot
-- ARGV: 1 how long a tail may become, in bytes, 2 for each tail two bytes of its name, two of how many places go there
--       (big-endian), and the places, 28 bytes each: 16 of session, 8 of sequence and 4 of index, big-endian
-- Returns the two bytes of each tail that is longer now, one after the other
local sub, byte, call = string.sub, string.byte, redis.call
local tails, limit, places = KEYS[1] .. 't', tonumber(ARGV[1]), ARGV[2]
local long, at = {}, 1
while at <= #places do
  local name, high, low = sub(places, at, at + 1), byte(places, at + 2, at + 3)
  local last = at + 3 + 28 * (256 * high + low)
  if call('APPEND', tails .. name, sub(places, at + 4, last)) > limit then
    long[#long + 1] = name
  end
  at = last + 1
end
return table.concat(long)
