-- hold answers many who want seats of one event, one after the other: each gets all of its seats, or none.
-- KEYS: 1 the event's seats: a hash from seat to its owner, "<hold id>|<session>|<fence>" or "sold:<order>". What its
--       name begins with, the event's other keys do, so they are in one slot: fence is a counter, hold:<session>
--       is "<hold id>|<fence>|<order>|<request>|<seats>" and lives as long as the hold, bought:<session> is what the
--       session bought, own:<session> is bind.lua's. A seat is held while its owner's hold lives, and what is left of one
--       that doesn't is nothing.
-- ARGV: five for each: hold id, session, TTL in ms, the most seats of a session in the sale or 0, the seats, comma-joined
-- Returns for each: its fence, where it holds the seats now
--       | {"same", hold id, fence, ms left} where its session held just these seats
--       | {"other", hold id} where that holds others | {"limit", seats bought} where it would get more than the most
--       | {"taken", for each seat that is: its index from 1, its holder's session and fence, ms left}; one that is sold
--         has the session "", and -1 ms left
local call = redis.call
local prefix = string.sub(KEYS[1], 1, -6)
local holds = prefix .. 'hold:'
local wanted = 5

local records = {} -- the holds that are known, by session; false where there is none
local function record(session)
  if records[session] == nil then
    records[session] = call('GET', holds .. session)
  end
  return records[session]
end

local seats, ends = {}, {} -- what all of them want, and where each one's part of that ends
local sessions = {}
for a = 1, #ARGV, wanted do
  for seat in string.gmatch(ARGV[a + 4], '[^,]+') do
    seats[#seats + 1] = seat
  end
  ends[#ends + 1] = #seats
  sessions[#sessions + 1] = holds .. ARGV[a + 1]
end
local found = call('HMGET', KEYS[1], unpack(seats))
for n, live in ipairs(call('MGET', unpack(sessions))) do
  records[ARGV[(n - 1) * wanted + 2]] = live
end
local changed, changes = {}, {} -- owners since then, by seat, and as they are to be written

-- owner is who has the i-th of the seats now: the owner and its session, "" for one that is sold; nothing for nobody.
local function owner(i)
  local by = changed[seats[i]]
  if by == nil then
    by = found[i]
  end
  if not by then
    return
  end
  local hold, session = string.match(by, '^(.-)|(.-)|')
  if not hold then
    return by, ''
  end
  local live = record(session)
  if live and string.sub(live, 1, #hold) == hold then
    return by, session
  end
end

-- taken is the refusal that names those of the seats that someone else than one owner has; nothing where there is none.
local function taken(first, last, but)
  local answer
  for i = first, last do
    local by, holder = owner(i)
    if by and by ~= but then
      answer = answer or {'taken'}
      local n = #answer
      answer[n + 1], answer[n + 2], answer[n + 3], answer[n + 4] = i - first + 1, holder, 0, -1
      if holder ~= '' then
        answer[n + 3], answer[n + 4] = tonumber(string.match(by, '[^|]*$')), call('PTTL', holds .. holder)
      end
    end
  end
  return answer
end

local fence = 0 -- the last that was given; as many as may be needed are taken at once
local function answer(n, id, session, ttl, most, wish)
  local first, last = (ends[n - 1] or 0) + 1, ends[n]
  local live = record(session)
  if live then
    local hold, its, order, _, theirs = string.match(live, '^(.-)|(.-)|(.-)|(.-)|(.*)$')
    if theirs ~= wish then
      return {'other', hold}
    end
    local mine, lost = hold .. '|' .. session .. '|' .. its, false
    for i = first, last do
      lost = lost or owner(i) ~= mine
    end
    if not lost then
      return {'same', hold, tonumber(its), call('PTTL', holds .. session)}
    end
    -- A seat was sold from under it, to someone who paid late: it is of no use to anyone. One that an order is bound to
    -- stays until that has ended.
    if order ~= '' then
      return taken(first, last, mine) or {'same', hold, tonumber(its), call('PTTL', holds .. session)}
    end
    call('DEL', holds .. session)
    records[session] = false
  end
  if most ~= '0' then
    local bought = 0
    for _, some in ipairs(call('HVALS', prefix .. 'bought:' .. session)) do
      bought = bought + tonumber(some)
    end
    if bought + last - first + 1 > tonumber(most) then
      return {'limit', bought}
    end
  end
  local refused = taken(first, last)
  if refused then
    return refused
  end
  if fence == 0 then
    fence = call('INCRBY', prefix .. 'fence', #ends - n + 1) - (#ends - n + 1)
  end
  fence = fence + 1
  local its = string.format('%d', fence) -- as a decimal integer: Lua's own way goes by floating point, and costs a tenth of the hold
  local mine = id .. '|' .. session .. '|' .. its
  for i = first, last do
    changed[seats[i]] = mine
    changes[#changes + 1] = seats[i]
    changes[#changes + 1] = mine
  end
  local made = id .. '|' .. its .. '|||' .. wish
  records[session] = made
  call('SET', sessions[n], made, 'PX', ttl)
  return fence
end

local answers = {}
for n = 1, #ends do
  local a = (n - 1) * wanted
  answers[n] = answer(n, ARGV[a + 1], ARGV[a + 2], ARGV[a + 3], ARGV[a + 4], ARGV[a + 5])
end
if #changes > 0 then
  call('HSET', KEYS[1], unpack(changes))
end
return answers
