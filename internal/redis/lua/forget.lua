-- forget lets a line's buckets end after a time, those that don't end already.
-- KEYS: 1 what the names of the line's buckets begin with. It names no key itself, and has their slot
-- ARGV: 1 the first byte of the buckets' two, as a number, 2 after how long they end, in ms
-- Returns how many there were
local n = 0
for second = 0, 240, 16 do
  local bucket = KEYS[1] .. string.char(ARGV[1], second)
  if redis.call('PTTL', bucket) == -1 then
    redis.call('PEXPIRE', bucket, ARGV[2])
    n = n + 1
  end
end
return n
