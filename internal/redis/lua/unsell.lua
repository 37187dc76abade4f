-- unsell takes sold marks back, where they are still this order's, and what they counted for their session.
-- KEYS: 1 what the session bought: a hash from order to seats, 2 the event's seats; see hold.lua
-- ARGV: 1 the mark, 2 order id, 3.. the seats
-- Returns how many marks there were
local n = 0
for i = 3, #ARGV do
  if redis.call('HGET', KEYS[2], ARGV[i]) == ARGV[1] then
    n = n + redis.call('HDEL', KEYS[2], ARGV[i])
  end
end
redis.call('HDEL', KEYS[1], ARGV[2])
return n
