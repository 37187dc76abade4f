-- pace gives out turns to call an account, to all workers by one clock: the generic cell rate algorithm, at a rate that is
-- halved when a call was refused and rises again. internal/pace's Bucket computes the same, and says why.
-- KEYS: 1 the account's pace: a hash of due (when the bucket is full, us), cut (the rate after the last halving) and cut_at (us)
-- ARGV: 1 "reserve" or "slow", 2 the limit, calls a second, 3 burst, 4 how many turns, or the pause in us
-- Returns {wait in us, the rate that holds, now in us}, all as text
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local limit, burst, n = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local h = redis.call('HMGET', KEYS[1], 'due', 'cut', 'cut_at')
local due, cut, at = tonumber(h[1] or '0'), tonumber(h[2] or '0'), tonumber(h[3] or '0')
if at > now then -- the clock was ahead: the rate must not wait until it is there again
  at = now
  redis.call('HSET', KEYS[1], 'cut_at', string.format('%.0f', at))
end
local rate = limit
if cut > 0 then
  rate = math.min(limit, cut + limit / 20 * math.floor((now - at) / 1000000))
end
local function span(calls)
  return math.ceil(calls / rate * 1000000)
end
local wait = 0
if ARGV[1] == 'reserve' then
  -- A clock that was ahead for a while must not stop all calls until it is there again.
  due = math.max(math.min(due, now + 300000000 + span(burst)), now) + span(n)
  wait = math.max(0, due - now - span(burst))
else
  if cut == 0 or now - at >= 1000000 then
    rate = math.max(rate / 2, limit / 32)
    redis.call('HSET', KEYS[1], 'cut', string.format('%.17g', rate), 'cut_at', string.format('%.0f', now))
  end
  if n > 0 then
    due = math.max(due, now + n + span(burst))
  end
end
redis.call('HSET', KEYS[1], 'due', string.format('%.0f', due))
redis.call('PEXPIRE', KEYS[1], 3600000)
return {string.format('%.0f', wait), string.format('%.17g', rate), string.format('%.0f', now)}
