-- Users are no longer in a room on an instance: one of them, or a few of all there are.
--
-- KEYS  1 members  2 members on this instance
-- ARGV  1 channel  2 instance  3 user id, or empty: as many as the next argument says  4 how many
--
-- Answers how many were taken out, so that a sweep knows when it is done.

local call = redis.call
local ids
if ARGV[3] == '' then
    ids = call('SPOP', KEYS[2], ARGV[4])
else
    ids = {ARGV[3]}
    call('SREM', KEYS[2], ARGV[3])
end
local gone = {}
for i = 1, #ids do
    local known = call('HGET', KEYS[1], ids[i])
    if known then
        local name, on = string.match(known, '^([^\n]*)\n(.*)$')
        if not name then
            return redis.error_reply('CORRUPT ' .. KEYS[1])
        end
        local others = {}
        for instance in string.gmatch(on, '%S+') do
            if instance ~= ARGV[2] then
                others[#others + 1] = instance
            end
        end
        if #others > 0 then
            call('HSET', KEYS[1], ids[i], name .. '\n' .. table.concat(others, ' '))
        else
            call('HDEL', KEYS[1], ids[i])
            gone[#gone + 1] = ids[i] .. '\n' .. name
        end
    end
end
if #gone > 0 then
    call('PUBLISH', ARGV[1], 'L' .. call('HLEN', KEYS[1]) .. '\n' .. table.concat(gone, '\n'))
end
return #ids
