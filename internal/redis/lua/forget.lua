-- forget lets a line's places end after a time, those that don't end already.
-- KEYS: 1 what the names of the line's keys begin with. It names no key itself, and has their slot
-- ARGV: 1 the first byte of the keys' two, as a number, 2 after how long they end, in ms
-- Returns how many there were
local n = 0
local function forget(key)
  if redis.call('PTTL', key) == -1 then
    redis.call('PEXPIRE', key, ARGV[2])
    n = n + 1
  end
end
for second = 0, 255 do
  local name = string.char(ARGV[1], second)
  forget(KEYS[1] .. 'h' .. name)
  if second % 16 == 0 then
    forget(KEYS[1] .. 't' .. name)
  end
end
return n
