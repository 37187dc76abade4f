-- remember adds places of sessions to a line. One that has a place already has two then: the lowest counts.
-- KEYS: 1 what the names of the line's keys begin with. It names no key itself, and has their slot
-- ARGV: 1 how long a tail should be, in bytes, 2 for each tail two bytes of its name, two of how many places go there
--       (big-endian), and the places, 28 bytes each: 16 of session, 8 of sequence and 4 of index, big-endian
-- Returns three bytes for each tail that is longer now: its two, and how many times longer
local sub, byte, call = string.sub, string.byte, redis.call
local tails, limit, places = KEYS[1] .. 't', tonumber(ARGV[1]), ARGV[2]
local long, at = {}, 1
while at <= #places do
  local name, high, low = sub(places, at, at + 1), byte(places, at + 2, at + 3)
  local last = at + 3 + 28 * (256 * high + low)
  -- From half of that to one and a half, by the tail: else all would become too long in the same second.
  local times = call('APPEND', tails .. name, sub(places, at + 4, last))
    / (limit * (0.5 + (16 * byte(name, 1) + byte(name, 2) / 16) / 4096))
  if times > 1 then
    long[#long + 1] = name .. string.char(math.min(times, 255))
  end
  at = last + 1
end
return table.concat(long)
