-- Claims one instance whose lease has ended, or one whose claimer ended before it was done.
--
-- KEYS  1 leases  2 claims: a sorted set of claimed instances by the end of the claim, Unix ms
-- ARGV  1 how long a claim holds, ms
--
-- Answers {instance, 1 for the first claim or 0 for one taken over}, or nothing.

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
for key = 1, 2 do
    local ended = redis.call('ZRANGEBYSCORE', KEYS[key], '-inf', now, 'LIMIT', 0, 1)[1]
    if ended then
        -- In this order, which a full Redis takes too: it refuses the first write only.
        redis.call('ZREM', KEYS[1], ended)
        redis.call('ZADD', KEYS[2], now + ARGV[1], ended)
        return {ended, key == 1 and 1 or 0}
    end
end
return {}
