-- remember stores the places of sessions in a line and answers with the lowest known of each.
-- KEYS: 1 what the names of the line's buckets begin with. It names no key itself, and has their slot
-- ARGV: 1 the sessions, 16 bytes each, 2 their places: 8 bytes of sequence and 4 of index, big-endian, so that the
--       lower place has the lower bytes
-- Returns the places, 12 bytes each, in order

local sub, byte, call = string.sub, string.byte, redis.call
local line, sessions, fresh = KEYS[1], ARGV[1], ARGV[2]

-- Bytes are compared one by one: Lua's < on strings goes by the server's locale (LC_COLLATE).
local function before(a, b)
  for i = 1, #a do
    local x, y = byte(a, i), byte(b, i)
    if x ~= y then
      return x < y
    end
  end
  return false
end

local places, nth = {}, 0
for at = 1, #sessions, 16 do
  local bucket, field = line .. sub(sessions, at, at + 1), sub(sessions, at + 2, at + 15)
  local place = sub(fresh, nth * 12 + 1, nth * 12 + 12)
  if call('HSETNX', bucket, field, place) == 0 then
    local known = call('HGET', bucket, field)
    if before(place, known) then
      call('HSET', bucket, field, place)
    else
      place = known
    end
  end
  nth = nth + 1
  places[nth] = place
end
return table.concat(places)
