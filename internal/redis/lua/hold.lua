-- hold takes all seats for a session, or none.
-- KEYS: 1 the hold, 2 the session's live hold, 3 the event's fence counter, 4 what the session bought, 5.. the seats
-- ARGV: 1 hold id, 2 session, 3 TTL in ms, 4 the seats' ids, comma-joined, 5 the most seats of a session in the sale, or 0
-- Returns {"held", fence, ttl ms} | {"same", hold id, fence, ttl ms} when the session holds just these seats
--       | {"other", hold id} when it holds others | {"limit", seats bought} when it would get more than the most
--       | {"taken", for each seat that is: its index from 1, its holder's session and fence, ms left}; one that is
--         sold has the session "", and -1 ms left
local call, id, ttl = redis.call, ARGV[1], ARGV[3]
local function hold(other)
  return string.sub(KEYS[1], 1, #KEYS[1] - #id) .. other
end
local held = call('MGET', KEYS[2], unpack(KEYS, 5))
local live = held[1]
if live then
  local h = call('HMGET', hold(live), 'seats', 'fence')
  if h[1] == ARGV[4] then
    return {'same', live, tonumber(h[2]), call('PTTL', KEYS[2])}
  elseif h[1] then
    return {'other', live}
  end
end
local most = tonumber(ARGV[5])
if most > 0 then
  local bought = 0
  for _, seats in ipairs(call('HVALS', KEYS[4])) do
    bought = bought + tonumber(seats)
  end
  if bought + #KEYS - 4 > most then
    return {'limit', bought}
  end
end
local taken
for i = 1, #KEYS - 4 do
  local holder = held[i + 1]
  if holder then
    local h = call('HMGET', hold(holder), 'session', 'fence')
    taken = taken or {'taken'}
    local n = #taken
    taken[n + 1], taken[n + 2] = i, h[1] or ''
    taken[n + 3], taken[n + 4] = tonumber(h[2] or '0'), call('PTTL', KEYS[4 + i])
  end
end
if taken then
  return taken
end
local fence = call('INCR', KEYS[3])
for i = 5, #KEYS do
  call('SET', KEYS[i], id, 'PX', ttl)
end
call('HSET', KEYS[1], 'session', ARGV[2], 'seats', ARGV[4], 'fence', fence)
call('PEXPIRE', KEYS[1], ttl)
call('SET', KEYS[2], id, 'PX', ttl)
return {'held', fence, tonumber(ttl)}
