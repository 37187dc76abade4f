-- redeem takes a use of an access code for a session, once however often it is asked.
-- KEYS: 1 the sessions that used the code, a set
-- ARGV: 1 the session, 2 how many may use it, 3 for how long the set is kept, in ms
-- Returns 1 when the session has a use, now or from before, 0 when none is left
if redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 0 then
  if redis.call('SCARD', KEYS[1]) >= tonumber(ARGV[2]) then
    return 0
  end
  redis.call('SADD', KEYS[1], ARGV[1])
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
