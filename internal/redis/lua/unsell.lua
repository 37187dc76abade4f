-- unsell takes sold marks back, where they are still this order's, and what they counted for their session.
-- KEYS: 1 what the session bought: a hash from order to seats, 2.. the seats
-- ARGV: 1 the mark, 2 order id
-- Returns how many marks there were
local n = 0
for i = 2, #KEYS do
  if redis.call('GET', KEYS[i]) == ARGV[1] then
    n = n + redis.call('DEL', KEYS[i])
  end
end
redis.call('HDEL', KEYS[1], ARGV[2])
return n
