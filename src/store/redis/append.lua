-- Appends one entry to a room's log, or says why not. One call, atomic, and never more work for a longer history.
--
-- KEYS  1 meta  2 log, whose name is the channel's too  3 side  4 keys of even slices  5 keys of odd slices
-- ARGV  1 start chain of a new log  2 digest of the entry  3 hash of the content that the key stands for, 16 digits
--       4 the draft as it is kept   5 field of the key     6 field of the rate: 'r' and the author's id
--       7 kind, and 8 target, of an edit, deletion or reaction
--
-- In front of this file stand the limits: WINDOW of keys, IDLE time and how long things LIVE beyond their last refresh, in
-- ms; INTERVAL of sends and a full BURST, in µs; MOST entries and bytes, and at how many more a trim begins (TRIM_AT).
--
-- meta is packed: offset, chain, at, first, bytes, withdrawn, touched, slice. `first` is the oldest offset that may be
-- there, `withdrawn` the number of messages that were, `touched` when the expiries were last set.
--
-- Time is cut into slices as long as the window. The hash of a slice has the records of keys (content, chain, offset,
-- time) and rates (when the bucket is full again, Unix µs). Two are looked at, and older ones go as a whole, so that no
-- record needs a key and an expiry of its own. `slice` is twice the number of the last one, odd where the one before
-- it has something.
--
-- side holds, by offset of the message, 'd' and the newest edit of a deleted one (0 for none), the newest edit of an
-- edited one; 'w' where there is any of these; and read marks by '@' and the user's id.
--
-- Answers S stored, D duplicate and C key conflict, each with chain, offset, newline, time; R over the rate, with the wait
-- in ms; N no such target; F somebody else's target.
--
-- Everything is looked at before anything is written, and the first write is one that Redis refuses when it is full.
-- Numbers are written without an exponent up to 1e14, which offsets and times stay below.

local call, pack, match, sub = redis.call, struct.pack, string.match, string.sub
local FORMAT = '>I8c16I8I8I8I8I8I8'

-- What an entry counts for beside its bytes.
local OVERHEAD = 136

local clock = call('TIME')
local seconds, micros = clock[1] + 0, clock[2] + 0
local now = seconds * 1000 + (micros - micros % 1000) / 1000

local meta = call('GET', KEYS[1])
local offset, chain, at, first, bytes, withdrawn, touched, slice
if meta then
    if #meta ~= 72 then
        return redis.error_reply('CORRUPT ' .. KEYS[1])
    end
    offset, chain, at, first, bytes, withdrawn, touched, slice = struct.unpack(FORMAT, meta)
    if now - at >= IDLE then
        meta = false
    end
end

-- 1. The key.
local field, rate = ARGV[5], ARGV[6]
local this, before = (now - now % WINDOW) / WINDOW, false
if meta then
    local last = (slice - slice % 2) / 2
    if this <= last then
        this, before = last, slice % 2 == 1
    else
        before = this == last + 1
    end
end
local current, previous = KEYS[4], KEYS[5]
if this % 2 == 1 then
    current, previous = previous, current
end
local full
if meta then
    -- Before the first entry of a slice, its hash has an older one's records, which would hide those of the one before.
    local found, place = this * 2 <= slice and call('HMGET', current, field, rate) or {}, current
    if before and not (found[1] and found[2]) then
        local older = call('HMGET', previous, field, rate)
        if not found[1] then
            found[1], place = older[1], previous
        end
        found[2] = found[2] or older[2]
    end
    local record = found[1]
    if record and now - match(record, '%d+$') < WINDOW then
        if sub(record, 1, 16) ~= ARGV[3] then
            return 'C' .. sub(record, 17)
        end
        -- A write, because a WAIT behind a script that wrote nothing would prove nothing.
        call('HSET', place, field, record)
        return 'D' .. sub(record, 17)
    end
    full = found[2]
end

-- 2. The rate. A million a second is none.
if INTERVAL > 1 then
    local now_us = seconds * 1000000 + micros
    full = (full or 0) + 0
    if full < now_us or full > now_us + BURST then
        full = now_us
    end
    full = full + INTERVAL
    if full > now_us + BURST then
        return 'R' .. math.ceil((full - now_us - BURST) / 1000)
    end
end

-- 3. The target.
local kind, target = ARGV[7], ARGV[8]
local state
if target then
    local found = meta and call('XRANGE', KEYS[2], target, target)[1]
    if not found then
        return 'N'
    end
    local target_kind, author = match(found[2][2], '^%d+\n%d+\n%x+\n%x+\n(%a)\n([^\n]*)\n')
    state = call('HGET', KEYS[3], target)
    if target_kind ~= 'm' or (state and sub(state, 1, 1) == 'd') then
        return 'N'
    end
    if kind ~= 'r' and author ~= sub(rate, 2) then
        return 'F'
    end
end

-- 4. The entry.
if not meta then
    call('UNLINK', KEYS[2], KEYS[3], KEYS[4], KEYS[5])
    offset, chain, at, first, bytes, withdrawn, touched, slice = 0, ARGV[1], 0, 1, 0, 0, 0, -1
elseif withdrawn > 0 and call('HEXISTS', KEYS[3], 'w') == 0 then
    -- What was withdrawn isn't known any more (evicted): nothing of it may be served.
    call('UNLINK', KEYS[2])
    first, bytes, withdrawn = offset + 1, 0, 0
end
if now > at then
    at = now
end
offset = offset + 1
local head = offset .. '\n' .. at
local next_chain = sub(redis.sha1hex(chain .. '\n' .. head .. '\n' .. ARGV[2]), 1, 16)
local entry = head .. '\n' .. chain .. '\n' .. next_chain .. '\n' .. ARGV[4]
call('XADD', KEYS[2], offset, 'e', entry)
bytes = bytes + #entry + OVERHEAD

if kind == 'e' or kind == 'd' then
    call('HSET', KEYS[3], target, kind == 'e' and offset or 'd' .. (state or '0'), 'w', '')
    call('PEXPIRE', KEYS[3], LIVE)
    if not state then
        withdrawn = withdrawn + 1
    end
end

-- 5. The trim: lazily, and a few at a time.
if offset - first >= TRIM_AT or bytes > TRIM_AT_BYTES then
    -- One more than the count demands, to see where the log begins then.
    local some = math.min(math.max(offset - first - MOST + 2, 64), 256)
    local oldest = call('XRANGE', KEYS[2], '-', '+', 'COUNT', some)
    for i = 1, #oldest do
        local id, old = oldest[i][1], oldest[i][2][2]
        first = sub(id, 1, -3) + 0
        if first == offset or (offset - first < MOST and bytes <= MOST_BYTES) then
            break
        end
        bytes = bytes - #old - OVERHEAD
        if withdrawn > 0 then
            -- The state of a message is needed as long as the message or its newest edit is there.
            local k, t = match(old, '^%d+\n%d+\n%x+\n%x+\n(%a)\n[^\n]*\n[^\n]*\n[^\n]*\n(%d*)\n')
            local message = k == 'm' and first or k == 'e' and t
            local edit = message and match(call('HGET', KEYS[3], message) or '', '%d+')
            if edit and edit + 0 <= first then
                call('HDEL', KEYS[3], message)
                withdrawn = withdrawn - 1
                if withdrawn == 0 then
                    call('HDEL', KEYS[3], 'w')
                end
            end
        end
        first = first + 1
    end
    call('XTRIM', KEYS[2], 'MINID', '=', first)
    if first == offset then
        bytes = #entry + OVERHEAD
    end
end

-- 6. The rest.
local record = next_chain .. head
-- At most eight times in an idle time.
local refresh = at - touched >= IDLE / 8
if refresh then
    touched = at
end
local turn = this * 2 > slice
if turn then
    if before then
        call('UNLINK', current)
    else
        call('UNLINK', current, previous)
    end
    slice = this * 2 + (before and 1 or 0)
end
meta = pack(FORMAT, offset, next_chain, at, first, bytes, withdrawn, touched, slice)
if refresh then
    call('SET', KEYS[1], meta, 'PX', LIVE)
    call('PEXPIRE', KEYS[2], LIVE)
    call('PEXPIRE', KEYS[3], LIVE)
else
    call('SETRANGE', KEYS[1], 0, meta)
end
if full then
    call('HSET', current, field, ARGV[3] .. record, rate, full)
else
    call('HSET', current, field, ARGV[3] .. record)
end
if turn then
    call('PEXPIRE', current, WINDOW * 2 + 1000)
end
call('PUBLISH', KEYS[2], entry)
return 'S' .. record
