-- unsell takes sold marks back, where they are still this order's.
-- KEYS: 1.. the seats
-- ARGV: 1 the mark
-- Returns how many
local n = 0
for i = 1, #KEYS do
  if redis.call('GET', KEYS[i]) == ARGV[1] then
    n = n + redis.call('DEL', KEYS[i])
  end
end
return n
