-- Reads a page of a room's log, together with what was withdrawn of it.
--
-- KEYS  1 meta  2 log  3 side (see append.lua)
-- ARGV  1 idle time, ms  2 'after' or 'before'  3 offset (before: empty for the newest)  4 chain there
--       5 entries  6 bytes of a page            7 entries  8 bytes of the newest page, where the log doesn't continue
--
-- Answers {verdict, top offset, top chain, oldest offset, entry, state, entry, state, …}, oldest first. The verdict is C
-- (continued), T (trimmed), D (diverged) or L (lost). A state is the field of side that concerns the entry's
-- text, or empty.

local call = redis.call
local match = string.match

-- Entries that are read at a time: a page is mostly ended by its bytes.
local CHUNK = 64

-- What an entry counts for beside its bytes, at the least: the caller cuts exactly.
local OVERHEAD = 100

local function parse(entry)
    local offset, prev, chain, kind, target =
        match(entry, '^(%d+)\n%d+\n(%x+)\n(%x+)\n(%a)\n[^\n]*\n[^\n]*\n[^\n]*\n(%d*)\n')
    return tonumber(offset), prev, chain, kind, target
end

local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local meta = call('HGET', KEYS[1], 'm')
local top, top_chain, withdrawn = 0, '', 0
if meta then
    if #meta ~= 62 then
        return redis.error_reply('CORRUPT ' .. KEYS[1])
    end
    local offset, chain, at, _, _, _, states = struct.unpack('>I6c16I6I6I6I6I4', meta)
    if now - at < tonumber(ARGV[1]) then
        top, top_chain, withdrawn = offset, chain, states
    end
end

-- No meta, no log, whatever the stream holds. Nor may it be served where it isn't known any more what was withdrawn.
local readable = top > 0 and (withdrawn == 0 or call('HEXISTS', KEYS[3], 'w') == 1)
local oldest, boundary = 0, ''
if readable then
    local entry = call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
    if entry then
        oldest, boundary = parse(entry[2][2])
        if not oldest then
            return redis.error_reply('CORRUPT ' .. KEYS[2])
        end
    end
end

local function verdict(offset, chain)
    if offset > top then
        return 'L'
    end
    if offset == top then
        return (top == 0 or chain == top_chain) and 'C' or 'D'
    end
    if oldest == 0 or offset + 1 < oldest then
        return 'T'
    end
    if offset == 0 then
        return 'C'
    end
    if offset + 1 == oldest then
        return chain == boundary and 'C' or 'D'
    end
    local entry = call('XRANGE', KEYS[2], offset, offset)[1]
    local _, _, there = parse(entry and entry[2][2] or '')
    return chain == there and 'C' or 'D'
end

-- Entries and their states, in the order of reading.
local function page(command, from, to, most, most_bytes)
    local entries, states, bytes = {}, {}, 0
    most = math.max(most, 1)
    while oldest > 0 and #entries < most do
        local chunk = call(command, KEYS[2], from, to, 'COUNT', math.min(CHUNK, most - #entries))
        local fields, last = {}, nil
        for i = 1, #chunk do
            local entry = chunk[i][2][2]
            local offset, _, _, kind, target = parse(entry)
            if not offset then
                return nil
            end
            bytes = bytes + #entry + OVERHEAD
            if bytes > most_bytes and #entries > 0 then
                last = nil
                most = 0
                break
            end
            entries[#entries + 1] = entry
            fields[#fields + 1] = kind == 'e' and target or offset
            last = offset
        end
        if withdrawn > 0 and #fields > 0 then
            local found = call('HMGET', KEYS[3], unpack(fields))
            for i = 1, #fields do
                states[#states + 1] = found[i] or ''
            end
        end
        if not last or #chunk < CHUNK then
            break
        end
        from = command == 'XRANGE' and last + 1 or last - 1
    end
    return entries, states
end

local answer = 'C'
local entries, states
if ARGV[2] == 'after' then
    local offset = tonumber(ARGV[3])
    answer = verdict(offset, ARGV[4])
    if answer == 'C' then
        entries, states = page('XRANGE', offset + 1, '+', tonumber(ARGV[5]), tonumber(ARGV[6]))
    else
        entries, states = page('XREVRANGE', '+', '-', tonumber(ARGV[7]), tonumber(ARGV[8]))
    end
elseif ARGV[3] == '' then
    entries, states = page('XREVRANGE', '+', '-', tonumber(ARGV[5]), tonumber(ARGV[6]))
elseif tonumber(ARGV[3]) > 0 then
    entries, states = page('XREVRANGE', '(' .. ARGV[3] .. '-0', '-', tonumber(ARGV[5]), tonumber(ARGV[6]))
else
    entries, states = {}, {}
end
if not entries then
    return redis.error_reply('CORRUPT ' .. KEYS[2])
end

local backwards = answer ~= 'C' or ARGV[2] == 'before'
local result = {answer, top, top_chain, oldest}
for i = 1, #entries do
    local n = backwards and #entries + 1 - i or i
    result[#result + 1] = entries[n]
    result[#result + 1] = states[n] or ''
end
return result
