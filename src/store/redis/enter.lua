-- A user is in a room on an instance.
--
-- KEYS  1 members: a hash by user id, each the name, a newline and the instances  2 members on this instance: a set
-- ARGV  1 channel  2 instance  3 user id  4 name  5 since when it is the name, in milliseconds

local call = redis.call
local known = call('HGET', KEYS[1], ARGV[3])
if not known then
    call('HSET', KEYS[1], ARGV[3], ARGV[4] .. '\n' .. ARGV[2])
    call('SADD', KEYS[2], ARGV[3])
    call('PUBLISH', ARGV[1], 'J' .. call('HLEN', KEYS[1]) .. '\n' .. ARGV[3] .. '\n' .. ARGV[4])
    return 0
end
local name, on = string.match(known, '^([^\n]*)\n(.*)$')
if not name then
    return redis.error_reply('CORRUPT ' .. KEYS[1])
end
local there = string.find(on, ARGV[2], 1, true)
if not there then
    on = on .. ' ' .. ARGV[2]
    call('SADD', KEYS[2], ARGV[3])
end
if not there or name ~= ARGV[4] then
    call('HSET', KEYS[1], ARGV[3], ARGV[4] .. '\n' .. on)
end
if name ~= ARGV[4] then
    call('PUBLISH', ARGV[1], 'N' .. ARGV[3] .. '\n' .. ARGV[4] .. '\n' .. ARGV[5])
end
return 0
