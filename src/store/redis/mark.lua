-- Raises a user's read mark and announces it.
--
-- KEYS  1 meta  2 marks
-- ARGV  1 idle time, ms  2 channel  3 user id  4 offset  5 origin

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local meta = redis.call('GET', KEYS[1])
if meta and now - (string.match(meta, '^%d+ %x+ %x+ (%d+) ') or now) >= tonumber(ARGV[1]) then
    -- The log has ended, and its marks with it.
    redis.call('UNLINK', KEYS[2])
end
local mark = tonumber(redis.call('HGET', KEYS[2], ARGV[3]) or 0)
if tonumber(ARGV[4]) > mark then
    redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
    redis.call('PEXPIRE', KEYS[2], math.floor(ARGV[1] * 1.25) + 1000)
    redis.call('PUBLISH', ARGV[2], 'R' .. ARGV[5] .. ' ' .. ARGV[4] .. '\n' .. ARGV[3])
end
return 0
