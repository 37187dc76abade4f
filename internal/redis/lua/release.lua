-- release ends a hold, and so gives back the seats that are still its own.
-- KEYS: 1 the session's hold; see hold.lua
-- ARGV: 1 hold id, 2 "" or the order on whose behalf: a hold bound to another order stays
-- Returns {"released"} | {"gone"} | {"bound", order id} when an order is being paid with it
local hold, order = string.match(redis.call('GET', KEYS[1]) or '', '^(.-)|.-|(.-)|')
if hold ~= ARGV[1] then
  return {'gone'}
end
if order ~= '' and order ~= ARGV[2] then
  return {'bound', order}
end
redis.call('DEL', KEYS[1])
return {'released'}
