-- release gives a hold's seats back; only what the hold still owns is touched.
-- KEYS: 1 the session's hold; see hold.lua. The keys of its seats begin as it does
-- ARGV: 1 hold id, 2 session, 3 "" or the order on whose behalf: a hold bound to another order stays
-- Returns {"released"} | {"gone"} | {"bound", order id} when an order is being paid with it
local call, prefix = redis.call, string.match(KEYS[1], '^{.-}:')
local hold, fence, order, _, seats = string.match(call('GET', KEYS[1]) or '', '^(.-)|(.-)|(.-)|(.-)|(.*)$')
if hold ~= ARGV[1] then
  return {'gone'}
end
if order ~= '' and order ~= ARGV[3] then
  return {'bound', order}
end
local owner = hold .. '|' .. ARGV[2] .. '|' .. fence
for seat in string.gmatch(seats, '[^,]+') do
  local key = prefix .. 'seat:' .. seat
  if call('GET', key) == owner then
    call('DEL', key)
  end
end
call('DEL', KEYS[1])
return {'released'}
