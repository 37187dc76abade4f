-- extend lets a hold that an order is being paid with live longer, and all its seats with it.
-- KEYS: 1 the session's hold, 2 the event's seats; see hold.lua
-- ARGV: 1 hold id, 2 session, 3 the order, 4 least TTL in ms
-- Returns {"extended", ms left} | {"gone"} | {"unbound"} when it isn't that order's
--       | {"lost", seat} where it is no longer the hold's; then nothing is extended
local call = redis.call
local hold, fence, order, _, seats = string.match(call('GET', KEYS[1]) or '', '^(.-)|(.-)|(.-)|(.-)|(.*)$')
if hold ~= ARGV[1] then
  return {'gone'}
end
if order ~= ARGV[3] then
  return {'unbound'}
end
for seat in string.gmatch(seats, '[^,]+') do
  if call('HGET', KEYS[2], seat) ~= hold .. '|' .. ARGV[2] .. '|' .. fence then
    return {'lost', seat}
  end
end
local ttl = math.max(call('PTTL', KEYS[1]), tonumber(ARGV[4]))
call('PEXPIRE', KEYS[1], ttl)
return {'extended', ttl}
