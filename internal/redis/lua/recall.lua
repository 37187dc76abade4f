-- recall answers with the places that sessions have in a line.
-- KEYS: 1 what the names of the line's buckets begin with. It names no key itself, and has their slot
-- ARGV: 1 the sessions, 16 bytes each
-- Returns the places, 12 bytes each, in order; 12 bytes of 255 where none is known
local sub, call = string.sub, redis.call
local line, sessions = KEYS[1], ARGV[1]
local unknown = string.rep('\255', 12)
local places = {}
for at = 1, #sessions, 16 do
  local bucket = line .. sub(sessions, at, at + 1)
  places[#places + 1] = call('HGET', bucket, sub(sessions, at + 2, at + 15)) or unknown
end
return table.concat(places)
