-- bind gives a hold to the order that pays for it, and extends it to the payment's deadline.
-- KEYS: 1 the hold, 2 the session's live hold, 3.. the seats
-- ARGV: 1 hold id, 2 session, 3 order id, 4 request hash, 5 least TTL in ms, 6 the order that may be replaced, or ""
-- Returns {"bound"} | {"gone"} | {"foreign"} | {"busy", order id} | {"differs"} same order, other request
--       | {"lost", index of a seat from 1} when a seat is no longer the hold's
local h = redis.call('HMGET', KEYS[1], 'session', 'order', 'request')
if not h[1] then
  return {'gone'}
end
if h[1] ~= ARGV[2] then
  return {'foreign'}
end
if h[2] == ARGV[3] and h[3] ~= ARGV[4] then
  return {'differs'}
end
if h[2] and h[2] ~= ARGV[3] and h[2] ~= ARGV[6] then
  return {'busy', h[2]}
end
for i = 3, #KEYS do
  if redis.call('GET', KEYS[i]) ~= ARGV[1] then
    return {'lost', i - 2}
  end
end
local ttl = math.max(redis.call('PTTL', KEYS[1]), tonumber(ARGV[5]))
redis.call('HSET', KEYS[1], 'order', ARGV[3], 'request', ARGV[4])
for i = 1, #KEYS do
  redis.call('PEXPIRE', KEYS[i], ttl)
end
return {'bound'}
