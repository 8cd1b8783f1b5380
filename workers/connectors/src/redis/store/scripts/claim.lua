-- Raises the epochs of partitions, and ends the turn of a unit that works under one of them.
-- KEYS: scope, turn. ARGV: partitions. Answers epoch, position and detail of each.
-- An epoch is never given out twice, not even by a server that lost its last writes: it is at least the time.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local answer = {}
for _, name in ipairs(ARGV) do
  local found = redis.call('HMGET', KEYS[1], 'e:' .. name, 'a:' .. name, 'd:' .. name)
  local epoch = string.format('%.0f', math.max(now, (tonumber(found[1]) or 0) + 1))
  redis.call('HSET', KEYS[1], 'e:' .. name, epoch)
  if redis.call('HEXISTS', KEYS[2], 'p:' .. name) == 1 then redis.call('DEL', KEYS[2]) end
  answer[#answer + 1] = epoch
  answer[#answer + 1] = found[2]
  answer[#answer + 1] = found[3]
end
return answer
