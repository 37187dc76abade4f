-- release gives a hold's seats back; only what the hold still owns is touched.
-- KEYS: 1 the hold, 2 the session's live hold, 3.. the seats
-- ARGV: 1 hold id, 2 "" or the order on whose behalf: a hold bound to another order stays
-- Returns {"released"} | {"gone"} | {"bound", order id} when an order is being paid with it
local order = redis.call('HGET', KEYS[1], 'order')
if order and order ~= ARGV[2] then
  return {'bound', order}
end
for i = 3, #KEYS do
  if redis.call('GET', KEYS[i]) == ARGV[1] then
    redis.call('DEL', KEYS[i])
  end
end
if redis.call('GET', KEYS[2]) == ARGV[1] then
  redis.call('DEL', KEYS[2])
end
if redis.call('DEL', KEYS[1]) == 1 then
  return {'released'}
end
return {'gone'}
