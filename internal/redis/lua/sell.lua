-- sell marks seats as sold, for good, and ends the hold they were bought with.
-- KEYS: 1 the hold, 2 the session's live hold or the hold again, 3.. the seats
-- ARGV: 1 hold id, 2 the mark
-- Returns {"sold"}
for i = 3, #KEYS do
  redis.call('SET', KEYS[i], ARGV[2])
end
if redis.call('GET', KEYS[2]) == ARGV[1] then
  redis.call('DEL', KEYS[2])
end
redis.call('DEL', KEYS[1])
return {'sold'}
