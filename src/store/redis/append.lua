-- Appends one entry to a room's log, or says why not. One call, atomic, and never more work for a longer history.
--
-- KEYS  1 meta  2 log  3 withdrawn  4 marks  5 key record  6 rate
-- ARGV  1 start chain of a new log   2 digest of the entry   3 hash of the content that a key stands for
--       4 the draft as it is kept    5 its cost in bytes     6 id of its author   7 kind: m e d r
--       8 target, or empty           9 channel              10 rate: µs per send  11 rate: µs of a full burst
--      12 key window, ms            13 idle time, ms        14 entries to keep    15 bytes to keep
--
-- meta is one string: offset chain start at first bytes withdrawn touched. `first` is the oldest offset that may be
-- there, `withdrawn` the number of fields of the withdrawn hash, `touched` when the expiries were last set.
--
-- Answers {'S', offset, chain, at} stored, {'D', …} duplicate, {'C', offset, chain} key conflict, {'R', wait in ms} over
-- the rate, {'N'} no such target, {'F'} somebody else's target.
--
-- Everything is looked at before anything is written, and the first write is one that Redis refuses when it is full.
-- Numbers are written without an exponent up to 1e14, which offsets and times stay below.

local call = redis.call
local match = string.match

local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local idle = tonumber(ARGV[13])

local meta = call('GET', KEYS[1])
local offset, chain, start, at, first, bytes, withdrawn, touched
if meta then
    offset, chain, start, at, first, bytes, withdrawn, touched =
        match(meta, '^(%d+) (%x+) (%x+) (%d+) (%d+) (%d+) (%d+) (%d+)$')
    if not offset then
        return redis.error_reply('CORRUPT ' .. KEYS[1])
    end
    if now - at >= idle then
        meta = false
    end
end

-- 1. The key.
local record = call('GET', KEYS[5])
if record and meta then
    local content, of, o, c, a = match(record, '^(%x+) (%x+) (%d+) (%x+) (%d+)$')
    local left = of == start and tonumber(ARGV[12]) - (now - a) or 0
    if left > 0 then
        if content ~= ARGV[3] then
            return {'C', o, c}
        end
        -- A write, because a WAIT behind a script that wrote nothing would prove nothing.
        call('PEXPIRE', KEYS[5], left)
        return {'D', o, c, a}
    end
end

-- 2. The rate: when the bucket is full again is its whole state. A rate of a million a second is none.
local interval = tonumber(ARGV[10])
local full
if interval > 1 then
    local now_us = clock[1] * 1000000 + clock[2]
    local emptiest = now_us + ARGV[11]
    full = tonumber(call('GET', KEYS[6]) or 0)
    if full < now_us or full > emptiest then
        full = now_us
    end
    full = full + interval
    if full > emptiest then
        return {'R', math.ceil((full - emptiest) / 1000)}
    end
    full = {string.format('%.0f', full), math.ceil((full - now_us) / 1000)}
end

-- 3. The target.
local kind, target = ARGV[7], ARGV[8]
local state
if target ~= '' then
    local found = meta and call('XRANGE', KEYS[2], target .. '-0', target .. '-0')[1]
    if not found then
        return {'N'}
    end
    local target_kind, author = match(found[2][2], '^[^\n]*\n%d+\n(%a)\n([^\n]*)\n')
    state = call('HGET', KEYS[3], target)
    if target_kind ~= 'm' or (state and string.byte(state) == 100) then
        return {'N'}
    end
    if kind ~= 'r' and author ~= ARGV[6] then
        return {'F'}
    end
end

-- 4. The entry.
local stale = not meta
if stale then
    offset, chain, start, at, first, bytes, withdrawn, touched = 0, ARGV[1], ARGV[1], 0, 1, 0, 0, 0
elseif withdrawn ~= '0' and call('HLEN', KEYS[3]) ~= tonumber(withdrawn) then
    -- What was withdrawn isn't known any more (evicted): nothing of it may be served.
    stale, first, bytes, withdrawn = true, offset + 1, 0, 0
end
if stale then
    call('UNLINK', KEYS[2], KEYS[3])
    if not meta then
        call('UNLINK', KEYS[4])
    end
end
if now > tonumber(at) then
    at = now
end
offset = offset + 1
local next_chain = string.sub(redis.sha1hex(chain .. '\n' .. offset .. '\n' .. at .. '\n' .. ARGV[2]), 1, 16)
local entry = 'E' .. offset .. ' ' .. at .. ' ' .. chain .. ' ' .. next_chain .. '\n' .. ARGV[4]
call('XADD', KEYS[2], offset .. '-0', 'e', entry)
bytes = bytes + ARGV[5]

-- How long everything lives beyond the last refresh, which is done eight times in an idle time at most.
local life = math.floor(idle * 1.25) + 1000
if kind == 'e' or kind == 'd' then
    call('HSET', KEYS[3], target, kind == 'e' and offset or 'd' .. (state or '0'))
    call('PEXPIRE', KEYS[3], life)
    if not state then
        withdrawn = withdrawn + 1
    end
end

-- 5. The trim: lazily, and a few at a time.
local most, most_bytes = tonumber(ARGV[14]), tonumber(ARGV[15])
if offset - first >= most + math.min(64, most / 2) or bytes > most_bytes * 1.0625 then
    local oldest = call('XRANGE', KEYS[2], '-', '+', 'COUNT', 256)
    local keep = offset
    for i = 1, #oldest do
        local o, cost, k, t = match(oldest[i][2][2], '^E(%d+) [^\n]*\n(%d+)\n(%a)\n[^\n]*\n[^\n]*\n[^\n]*\n(%d*)\n')
        if not o then
            return redis.error_reply('CORRUPT ' .. KEYS[2])
        end
        o = tonumber(o)
        if o == offset or (offset - o < most and bytes <= most_bytes) then
            keep = o
            break
        end
        bytes = bytes - cost
        keep = o + 1
        -- The state of a message is needed as long as the message or its newest edit is there.
        if withdrawn ~= '0' and withdrawn ~= 0 and (k == 'm' or k == 'e') then
            local field = k == 'm' and o or t
            local s = call('HGET', KEYS[3], field)
            local edit = s and tonumber(match(s, '%d+'))
            if edit and edit <= o then
                call('HDEL', KEYS[3], field)
                withdrawn = withdrawn - 1
            end
        end
    end
    call('XTRIM', KEYS[2], 'MINID', '=', keep .. '-0')
    first = keep
    if keep == offset then
        bytes = tonumber(ARGV[5])
    end
end

-- 6. The rest.
local refresh = at - touched >= idle / 8
if refresh then
    touched = at
end
meta = offset .. ' ' .. next_chain .. ' ' .. start .. ' ' .. at .. ' ' .. first .. ' ' .. bytes .. ' ' .. withdrawn .. ' ' .. touched
if refresh then
    call('SET', KEYS[1], meta, 'PX', life)
    call('PEXPIRE', KEYS[2], life)
    call('PEXPIRE', KEYS[3], life)
    call('PEXPIRE', KEYS[4], life)
else
    call('SET', KEYS[1], meta, 'KEEPTTL')
end
if full then
    call('SET', KEYS[6], full[1], 'PX', full[2])
end
call('SET', KEYS[5], ARGV[3] .. ' ' .. start .. ' ' .. offset .. ' ' .. next_chain .. ' ' .. at, 'PX', ARGV[12])
call('PUBLISH', ARGV[9], entry)
return {'S', offset, next_chain, at}
