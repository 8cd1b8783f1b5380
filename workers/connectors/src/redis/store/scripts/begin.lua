-- Takes the scope's turn for a unit, or a place among those who wait for it.
-- KEYS: scope, turn, waiting. ARGV: token, lease in ms, then partition and epoch of each claim.
-- Answers `fenced` and a partition; `wait` and how many are before; or `begun`, then sequence, totals, token of the last commit and
-- generation, then position and detail of each claim.
local FRESH_US, REFRESH_US = 2000000, 300000 -- who has not asked for so long has given up; asking is noted so often
local token, lease = ARGV[1], ARGV[2]
local answer = redis.call('HMGET', KEYS[1], 'sequence', 'totals', 'commit', 'generation')
table.insert(answer, 1, 'begun')
local is_same = false -- a claim has one unit: the next one ends it
for at = 3, #ARGV, 2 do
  local name, epoch = ARGV[at], ARGV[at + 1]
  local found = redis.call('HMGET', KEYS[1], 'e:' .. name, 'a:' .. name, 'd:' .. name)
  if found[1] ~= epoch then return {'fenced', name} end
  answer[#answer + 1] = found[2]
  answer[#answer + 1] = found[3]
  is_same = is_same or redis.call('HGET', KEYS[2], 'p:' .. name) == epoch
end
local holder = redis.call('HGET', KEYS[2], 'token')
if holder ~= token and not is_same then
  local clock = redis.call('TIME')
  local now = clock[1] * 1000000 + clock[2]
  local waiting, before, mine = redis.call('HGETALL', KEYS[3]), 0, nil
  for at = 1, #waiting, 2 do
    if waiting[at] == token then mine = {waiting[at + 1]:match('(%d+):(%d+)')} end
  end
  for at = 1, #waiting, 2 do
    if waiting[at] ~= token then
      local came, asked = waiting[at + 1]:match('(%d+):(%d+)')
      if now - asked > FRESH_US then
        redis.call('HDEL', KEYS[3], waiting[at])
      elseif not mine or tonumber(came) < tonumber(mine[1]) then
        before = before + 1
      end
    end
  end
  if holder or before > 0 then
    if not mine or now - mine[2] > REFRESH_US then
      redis.call('HSET', KEYS[3], token, string.format('%s:%.0f', mine and mine[1] or string.format('%.0f', now), now))
      redis.call('PEXPIRE', KEYS[3], 60000)
    end
    return {'wait', tostring(before)}
  end
end
redis.call('HDEL', KEYS[3], token)
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], 'token', token)
for at = 3, #ARGV, 2 do redis.call('HSET', KEYS[2], 'p:' .. ARGV[at], ARGV[at + 1]) end
redis.call('PEXPIRE', KEYS[2], lease)
return answer
