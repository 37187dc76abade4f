-- sell marks seats as sold, for good, ends the hold they were bought with, and counts them for their session.
-- KEYS: 1 the session's hold, 2 the event's seats; see hold.lua, 3 what the session bought: a hash from order to seats
-- ARGV: 1 hold id, 2 the mark, 3 order id, 4 "any" whoever is named as a seat's owner, or "own", 5.. the seats
-- Returns 1, or 0 where it was to mark its own only and someone else is named: then nothing has changed
local call = redis.call
if ARGV[4] == 'own' then
  local mine = ARGV[1] .. '|'
  for i = 5, #ARGV do
    local by = call('HGET', KEYS[2], ARGV[i])
    if by and by ~= ARGV[2] and string.sub(by, 1, #mine) ~= mine then
      return 0
    end
  end
end
for i = 5, #ARGV do
  call('HSET', KEYS[2], ARGV[i], ARGV[2])
end
if string.match(call('GET', KEYS[1]) or '', '^(.-)|') == ARGV[1] then
  call('DEL', KEYS[1])
end
call('HSET', KEYS[3], ARGV[3], string.format('%d', #ARGV - 4))
return 1
