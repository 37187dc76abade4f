-- extend lets a hold that an order is being paid with live longer: itself, its session's mark and all its seats.
-- KEYS: 1 the hold, 2 the session's live hold, 3.. the seats
-- ARGV: 1 hold id, 2 the order, 3 least TTL in ms
-- Returns {"extended", ttl ms} | {"gone"} | {"unbound"} when it isn't that order's
--       | {"lost", index of a seat from 1} when a seat is no longer the hold's; then nothing is extended
local h = redis.call('HMGET', KEYS[1], 'session', 'order')
if not h[1] then
  return {'gone'}
end
if h[2] ~= ARGV[2] then
  return {'unbound'}
end
for i = 3, #KEYS do
  if redis.call('GET', KEYS[i]) ~= ARGV[1] then
    return {'lost', i - 2}
  end
end
local ttl = math.max(redis.call('PTTL', KEYS[1]), tonumber(ARGV[3]))
for i = 1, #KEYS do
  if i ~= 2 or redis.call('GET', KEYS[2]) == ARGV[1] then
    redis.call('PEXPIRE', KEYS[i], ttl)
  end
end
return {'extended', ttl}
