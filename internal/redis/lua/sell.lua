-- sell marks seats as sold, for good, ends the hold they were bought with, and counts them for their session.
-- KEYS: 1 the session's hold; see hold.lua, 2 what the session bought: a hash from order to seats, 3.. the seats
-- ARGV: 1 hold id, 2 the mark, 3 order id
-- Returns {"sold"}
for i = 3, #KEYS do
  redis.call('SET', KEYS[i], ARGV[2])
end
if string.match(redis.call('GET', KEYS[1]) or '', '^(.-)|') == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
redis.call('HSET', KEYS[2], ARGV[3], #KEYS - 2)
return {'sold'}
