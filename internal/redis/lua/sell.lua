-- sell marks seats as sold, for good, ends the hold they were bought with, and counts them for their session.
-- KEYS: 1 the session's hold, 2 the event's seats; see hold.lua, 3 what the session bought: a hash from order to seats
-- ARGV: 1 hold id, 2 the mark, 3 order id, 4.. the seats
-- Returns {"sold"}
for i = 4, #ARGV do
  redis.call('HSET', KEYS[2], ARGV[i], ARGV[2])
end
if string.match(redis.call('GET', KEYS[1]) or '', '^(.-)|') == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
redis.call('HSET', KEYS[3], ARGV[3], #ARGV - 3)
return {'sold'}
