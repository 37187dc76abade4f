-- bind gives a session's hold to the order that pays for it, and extends it to the payment's deadline. Given to the same
-- order again, it is extended within its own time only: a checkout that fails must not keep seats for as long as it is tried.
-- KEYS: 1 the session's hold, 2 the event's seats, see hold.lua; 3 the hold's own time: its id, for as long as it would have
--       lived without its first order, and as that was to wait for its turn
-- ARGV: 1 hold id, 2 session, 3 order id, 4 request hash in hex, 5 least TTL in ms, 6 the order that may be replaced, or "",
--       7 how long the order will wait for its turn, in ms
-- Returns {"bound", fence, seats, ms left} | {"gone"} | {"busy", order id} | {"differs"} same order, other request
--       | {"over", fence, seats} where an order would be replaced after the hold's own time: the hold is given up
--       | {"lost", seat} where it is no longer the hold's
local call = redis.call
local hold, fence, order, request, seats = string.match(call('GET', KEYS[1]) or '', '^(.-)|(.-)|(.-)|(.-)|(.*)$')
if hold ~= ARGV[1] then
  return {'gone'}
end
if order == ARGV[3] and request ~= ARGV[4] then
  return {'differs'}
end
if order ~= '' and order ~= ARGV[3] then
  if order ~= ARGV[6] then
    return {'busy', order}
  end
  if call('GET', KEYS[3]) ~= hold then
    call('DEL', KEYS[1])
    return {'over', tonumber(fence), seats}
  end
end
for seat in string.gmatch(seats, '[^,]+') do
  if call('HGET', KEYS[2], seat) ~= hold .. '|' .. ARGV[2] .. '|' .. fence then
    return {'lost', seat}
  end
end
local left = call('PTTL', KEYS[1])
if order == '' then
  call('SET', KEYS[3], hold, 'PX', string.format('%d', math.max(left + tonumber(ARGV[7]), 1))) -- 0 in its last millisecond
end
local ttl = math.max(left, 1)
if order ~= ARGV[3] or call('GET', KEYS[3]) == hold then
  ttl = math.max(left, tonumber(ARGV[5]))
end
call('SET', KEYS[1], hold .. '|' .. fence .. '|' .. ARGV[3] .. '|' .. ARGV[4] .. '|' .. seats, 'PX', string.format('%d', ttl))
return {'bound', tonumber(fence), seats, ttl}
