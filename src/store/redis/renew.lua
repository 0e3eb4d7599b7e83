-- Renews the lease of an instance, by the clock of Redis.
--
-- KEYS  1 leases: a sorted set of instances by the end of their lease, Unix ms
-- ARGV  1 instance  2 for how long, ms  3 'new' where the instance has no lease yet, 'first' to leave one that is there
--
-- Answers 1, or 0 where the instance should have had a lease and has none: it was claimed, or Redis was flushed.

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local has = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not has and ARGV[3] == '' then
    return 0
end
if not has or ARGV[3] ~= 'first' then
    redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
end
return 1
