-- settle moves the places in a tail to where they are found without a search, the lowest of each session.
-- KEYS: 1 what the names of the line's keys begin with. It names no key itself, and has their slot
-- ARGV: 1 two bytes of a tail's name, 2 how many places to move at most
-- Returns how many were moved
local sub, byte, call = string.sub, string.byte, redis.call
local key, hashes = KEYS[1] .. 't' .. ARGV[1], KEYS[1] .. 'h' .. sub(ARGV[1], 1, 1)
local tail = call('GET', key)
if not tail then
  return 0
end
local last = math.min(#tail - #tail % 28, 28 * tonumber(ARGV[2]))

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

-- By the hash that a session's first two bytes choose: its other bytes and its lowest place in the tail.
local lowest = {}
for at = 1, last, 28 do
  local second, field, place = sub(tail, at + 1, at + 1), sub(tail, at + 2, at + 15), sub(tail, at + 16, at + 27)
  local fields = lowest[second] or {}
  lowest[second] = fields
  if not fields[field] or before(place, fields[field]) then
    fields[field] = place
  end
end
for second, fields in pairs(lowest) do
  local names = {}
  for field in pairs(fields) do
    names[#names + 1] = field
  end
  local known, lower = call('HMGET', hashes .. second, unpack(names)), {}
  for i, field in ipairs(names) do
    if not known[i] or before(fields[field], known[i]) then
      lower[#lower + 1] = field
      lower[#lower + 1] = fields[field]
    end
  end
  if #lower > 0 then
    call('HSET', hashes .. second, unpack(lower))
  end
end
if last == #tail then
  call('DEL', key)
else
  call('SET', key, sub(tail, last + 1), 'KEEPTTL')
end
return last / 28
