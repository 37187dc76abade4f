-- remember stores the places of sessions and answers with the lowest known of each.
-- KEYS: 1.. the sessions' buckets, one a session
-- ARGV: for each session its field and its place: 8 bytes of sequence and 4 of index, big-endian, so that the
--       lower place has the lower bytes
-- Returns the places, in order

-- Bytes are compared one by one: Lua's < on strings goes by the server's locale (LC_COLLATE).
local function before(a, b)
  for i = 1, #a do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then
      return x < y
    end
  end
  return false
end

local out = {}
for i = 1, #KEYS do
  local field, place = ARGV[2 * i - 1], ARGV[2 * i]
  out[i] = place
  if redis.call('HSETNX', KEYS[i], field, place) == 0 then
    local known = redis.call('HGET', KEYS[i], field)
    if before(place, known) then
      redis.call('HSET', KEYS[i], field, place)
    else
      out[i] = known
    end
  end
end
return out
