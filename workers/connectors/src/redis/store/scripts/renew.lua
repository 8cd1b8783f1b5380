-- A sign of life: keeps a unit's turn and what it has staged. KEYS: turn, staged. ARGV: token, lease in ms.
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1
