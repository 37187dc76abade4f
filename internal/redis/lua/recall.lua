-- recall answers with the lowest places that sessions have in a line.
-- KEYS: 1 what the names of the line's keys begin with. It names no key itself, and has their slot
-- ARGV: 1 two bytes of a tail's name and 16 of a session, for each session, 2 how long a tail should be, in bytes
-- Returns the places, 12 bytes each, in order: 8 of sequence and 4 of index, big-endian, so that the lower place has
-- the lower bytes; 12 bytes of 255 where none is known. Then three bytes for each tail that is longer: its two, and how
-- many times longer
local sub, byte, find, call = string.sub, string.byte, string.find, redis.call
local tails, hashes, asked, limit = KEYS[1] .. 't', KEYS[1] .. 'h', ARGV[1], tonumber(ARGV[2])

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

local unknown = string.rep('\255', 12)
local lowest, long = {}, {}
for at = 1, #asked, 18 do
  local name = sub(asked, at, at + 1)
  local tail = call('GET', tails .. name) or ''
  if #tail % 28 ~= 0 then
    return redis.error_reply('a tail of places has ' .. #tail .. ' bytes')
  elseif #tail > limit then
    long[#long + 1] = name .. string.char(math.min(#tail / limit, 255))
  end
  local session = sub(asked, at + 2, at + 17)
  local place = call('HGET', hashes .. sub(session, 1, 2), sub(session, 3, 16)) or unknown
  local found = find(tail, session, 1, true)
  while found do
    if found % 28 == 1 then
      local known = sub(tail, found + 16, found + 27)
      if before(known, place) then
        place = known
      end
    end
    found = find(tail, session, found + 1, true)
  end
  lowest[#lowest + 1] = place
end
return table.concat(lowest) .. table.concat(long)
