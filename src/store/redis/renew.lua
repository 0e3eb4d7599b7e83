-- Renews the lease of an instance, by the clock of Redis.
--
-- KEYS  1 leases: a sorted set of instances by the end of their lease, Unix ms  2 era: set once after Redis was empty
-- ARGV  1 instance  2 for how long, ms  3 'new' where the instance has no lease yet, 'first' to leave one that is there
--       4 the era, if there is none
--
-- Answers {1, era}, or {0, era} where the instance should have had a lease and has none: it was claimed, or Redis was
-- emptied, which is another era then.

-- A full Redis refuses the first write of a script, unless it is one that frees memory; and no other behind it. The lease of an
-- instance that lives must not end because of that.
redis.call('ZREM', KEYS[1], '')
redis.call('SET', KEYS[2], ARGV[4], 'NX')
local era = redis.call('GET', KEYS[2])
local has = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not has and ARGV[3] == '' then
    return {0, era}
end
if not has or ARGV[3] ~= 'first' then
    local clock = redis.call('TIME')
    redis.call('ZADD', KEYS[1], clock[1] * 1000 + math.floor(clock[2] / 1000) + ARGV[2], ARGV[1])
end
return {1, era}
