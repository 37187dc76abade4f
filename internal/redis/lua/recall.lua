-- recall answers with the places that sessions have.
-- KEYS: 1.. the sessions' buckets, one a session
-- ARGV: the sessions' fields
-- Returns the places, in order; "" where none is known
local out = {}
for i = 1, #KEYS do
  out[i] = redis.call('HGET', KEYS[i], ARGV[i]) or ''
end
return out
