-- sell marks seats as sold, for good, ends the hold they were bought with, and counts them for their session.
-- KEYS: 1 the hold, 2 the session's live hold, 3 what the session bought: a hash from order to seats, 4.. the seats
-- ARGV: 1 hold id, 2 the mark, 3 order id
-- Returns {"sold"}
for i = 4, #KEYS do
  redis.call('SET', KEYS[i], ARGV[2])
end
if redis.call('GET', KEYS[2]) == ARGV[1] then
  redis.call('DEL', KEYS[2])
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[3], ARGV[3], #KEYS - 3)
return {'sold'}
