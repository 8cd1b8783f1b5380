-- Ends a unit that was not committed. KEYS: turn, waiting, staged. ARGV: token.
if redis.call('HGET', KEYS[1], 'token') == ARGV[1] then redis.call('DEL', KEYS[1]) end
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('UNLINK', KEYS[3])
return 1
