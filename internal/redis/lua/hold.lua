-- hold answers many who want seats of one event, one after the other: each gets all of its seats, or none.
-- KEYS: 1 the event's fence counter. What it begins with, all other keys of the event do, so they are in one slot:
--       hold:<session> is "<hold id>|<fence>|<order>|<request>|<seats>", seat:<seat> is its owner, "<hold id>|<session>|<fence>"
--       or "sold:<order>", and bought:<session> is what the session bought
-- ARGV: five for each: hold id, session, TTL in ms, the most seats of a session in the sale or 0, the seats, comma-joined
-- Returns for each: its fence, where it holds the seats now
--       | {"same", hold id, fence, ms left} where its session held just these seats
--       | {"other", hold id} where that holds others | {"limit", seats bought} where it would get more than the most
--       | {"taken", for each seat that is: its index from 1, its holder's session and fence, ms left}; one that is sold
--         has the session "", and -1 ms left
local call = redis.call
local prefix = string.sub(KEYS[1], 1, -6)
local wanted = 5
local keys, ends = {}, {} -- what all of them ask about, and where each one's part of that ends
for a = 1, #ARGV, wanted do
  keys[#keys + 1] = prefix .. 'hold:' .. ARGV[a + 1]
  for seat in string.gmatch(ARGV[a + 4], '[^,]+') do
    keys[#keys + 1] = prefix .. 'seat:' .. seat
  end
  ends[#ends + 1] = #keys
end
local found = call('MGET', unpack(keys))
local changed = {} -- since then, by key
local function holds(i)
  local now = changed[keys[i]]
  if now == nil then
    return found[i]
  end
  return now
end
local fence = 0 -- the last that was given; as many as may be needed are taken at once
local function answer(n, id, session, ttl, most, seats)
  local first, last = (ends[n - 1] or 0) + 1, ends[n]
  local live = holds(first)
  if live then
    local hold, its, order, _, theirs = string.match(live, '^(.-)|(.-)|(.-)|(.-)|(.*)$')
    if theirs ~= seats then
      return {'other', hold}
    end
    local owner, lost = hold .. '|' .. session .. '|' .. its, false
    for i = first + 1, last do
      lost = lost or holds(i) ~= owner
    end
    if not lost or order ~= '' then
      return {'same', hold, tonumber(its), call('PTTL', keys[first])}
    end
    -- A seat was sold from under it, to someone who paid late: it is of no use to anyone.
    for i = first, last do
      if i == first or holds(i) == owner then
        call('DEL', keys[i])
        changed[keys[i]] = false
      end
    end
  end
  if most > 0 then
    local bought = 0
    for _, n in ipairs(call('HVALS', prefix .. 'bought:' .. session)) do
      bought = bought + tonumber(n)
    end
    if bought + last - first > most then
      return {'limit', bought}
    end
  end
  local taken
  for i = first + 1, last do
    local owner = holds(i)
    if owner then
      local holder, since = string.match(owner, '|(.-)|(.*)$')
      taken = taken or {'taken'}
      local t = #taken
      taken[t + 1], taken[t + 2], taken[t + 3], taken[t + 4] = i - first, holder or '', tonumber(since or '0'), call('PTTL', keys[i])
    end
  end
  if taken then
    return taken
  end
  if fence == 0 then
    fence = call('INCRBY', KEYS[1], #ends - n + 1) - (#ends - n + 1)
  end
  fence = fence + 1
  local owner, record = id .. '|' .. session .. '|' .. fence, id .. '|' .. fence .. '|||' .. seats
  for i = first + 1, last do
    call('SET', keys[i], owner, 'PX', ttl)
    changed[keys[i]] = owner
  end
  call('SET', keys[first], record, 'PX', ttl)
  changed[keys[first]] = record
  return fence
end
local answers = {}
for n = 1, #ends do
  local a = (n - 1) * wanted
  answers[n] = answer(n, ARGV[a + 1], ARGV[a + 2], ARGV[a + 3], tonumber(ARGV[a + 4]), ARGV[a + 5])
end
return answers
