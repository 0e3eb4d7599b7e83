-- Raises a user's read mark and announces it.
--
-- KEYS  1 meta  2 side (see append.lua)  3 log, whose name is the channel's
-- ARGV  1 idle time, ms  2 how long things live, ms  3 user id  4 offset  5 origin

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local meta = redis.call('HGET', KEYS[1], 'm')
if meta and #meta ~= 62 then
    return redis.error_reply('CORRUPT ' .. KEYS[1])
end
if meta and now - select(3, struct.unpack('>I6c16I6', meta)) >= tonumber(ARGV[1]) then
    -- The log has ended, and its marks with it.
    redis.call('UNLINK', KEYS[2])
end
local mark = tonumber(redis.call('HGET', KEYS[2], '@' .. ARGV[3]) or 0)
if tonumber(ARGV[4]) > mark then
    redis.call('HSET', KEYS[2], '@' .. ARGV[3], ARGV[4])
    redis.call('PEXPIRE', KEYS[2], ARGV[2])
    redis.call('PUBLISH', KEYS[3], 'R' .. ARGV[5] .. ' ' .. ARGV[4] .. '\n' .. ARGV[3])
end
return 0
