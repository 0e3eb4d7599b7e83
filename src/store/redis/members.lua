-- All members of a room, or only how many where there are more than asked for.
--
-- KEYS  1 members
-- ARGV  1 most
--
-- Answers {count, id, value, id, value, …}.

local count = redis.call('HLEN', KEYS[1])
local answer = {count}
if count <= tonumber(ARGV[1]) then
    local all = redis.call('HGETALL', KEYS[1])
    for i = 1, #all do
        answer[i + 1] = all[i]
    end
end
return answer
