-- hold takes all seats for a session, or none.
-- KEYS: 1 the hold, 2 the session's live hold, 3 the event's fence counter, 4.. the seats
-- ARGV: 1 hold id, 2 session, 3 TTL in ms, 4 the seats' ids, comma-joined
-- Returns {"held", fence, ttl ms} | {"same", hold id, fence, ttl ms} when the session holds just these seats
--       | {"other", hold id} when it holds others | {"taken", index of a seat from 1, ...}
local live = redis.call('GET', KEYS[2])
if live then
  local prefix = string.sub(KEYS[1], 1, #KEYS[1] - #ARGV[1])
  local h = redis.call('HMGET', prefix .. live, 'seats', 'fence')
  if h[1] == ARGV[4] then
    return {'same', live, tonumber(h[2]), redis.call('PTTL', KEYS[2])}
  elseif h[1] then
    return {'other', live}
  end
end
local taken = {'taken'}
for i = 4, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 1 then
    taken[#taken + 1] = i - 3
  end
end
if #taken > 1 then
  return taken
end
local fence = redis.call('INCR', KEYS[3])
for i = 4, #KEYS do
  redis.call('SET', KEYS[i], ARGV[1], 'NX', 'PX', ARGV[3])
end
redis.call('HSET', KEYS[1], 'session', ARGV[2], 'seats', ARGV[4], 'fence', fence)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[3])
return {'held', fence, tonumber(ARGV[3])}
