-- Forgets a scope, but for its epochs, which grow. KEYS: scope, turn, then the keys of its state. ARGV: how many spaces these are.
-- Answers 0 where there are others by now.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local found, spaces, fields, epochs = redis.call('HGETALL', KEYS[1]), 0, {}, {}
for at = 1, #found, 2 do
  local kind = found[at]:sub(1, 2)
  if kind == 's:' then spaces = spaces + 1 end
  if kind == 'e:' then epochs[found[at]] = found[at + 1] else fields[#fields + 1] = found[at] end
end
if spaces ~= tonumber(ARGV[1]) then return 0 end
for field, epoch in pairs(epochs) do
  redis.call('HSET', KEYS[1], field, string.format('%.0f', math.max(now, tonumber(epoch) + 1)))
end
for _, field in ipairs(fields) do redis.call('HDEL', KEYS[1], field) end
redis.call('HSET', KEYS[1], 'generation', string.format('%.0f', now))
for at = 2, #KEYS do redis.call('UNLINK', KEYS[at]) end
return 1
