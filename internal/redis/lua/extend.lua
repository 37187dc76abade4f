-- extend lets a hold that an order is being paid with live longer: itself and all its seats.
-- KEYS: 1 the session's hold; see hold.lua. The keys of its seats begin as it does
-- ARGV: 1 hold id, 2 session, 3 the order, 4 least TTL in ms
-- Returns {"extended", ms left} | {"gone"} | {"unbound"} when it isn't that order's
--       | {"lost", seat} where it is no longer the hold's; then nothing is extended
local call, prefix = redis.call, string.match(KEYS[1], '^{.-}:')
local hold, fence, order, _, seats = string.match(call('GET', KEYS[1]) or '', '^(.-)|(.-)|(.-)|(.-)|(.*)$')
if hold ~= ARGV[1] then
  return {'gone'}
end
if order ~= ARGV[3] then
  return {'unbound'}
end
local owner = hold .. '|' .. ARGV[2] .. '|' .. fence
for seat in string.gmatch(seats, '[^,]+') do
  if call('GET', prefix .. 'seat:' .. seat) ~= owner then
    return {'lost', seat}
  end
end
local ttl = math.max(call('PTTL', KEYS[1]), tonumber(ARGV[4]))
call('PEXPIRE', KEYS[1], ttl)
for seat in string.gmatch(seats, '[^,]+') do
  call('PEXPIRE', prefix .. 'seat:' .. seat, ttl)
end
return {'extended', ttl}
