-- Appends one entry to a room's log, or says why not. One call, atomic, and never more work for a longer history.
--
-- KEYS  1 meta  2 log, whose name is the channel's too  3 side  4 keys of even slices  5 keys of odd slices
-- ARGV  1 start chain of a new log  2 digest of the entry  3 hash of the content that the key stands for, 16 digits
--       4 the draft as it is kept   5 field of the key     6 field of the rate: 'r' and the author's id
--       7 kind, and 8 target, of an edit, deletion or reaction
--
-- In front of this file stand the limits: WINDOW of keys, IDLE time and how long things LIVE beyond their last refresh, in
-- ms; INTERVAL of sends and a full BURST, in µs; MOST entries and bytes, and at how many more a trim begins (TRIM_AT);
-- STEP, see the trim.
--
-- meta is packed: offset, chain, at, first, total, gone, withdrawn, touched, slice. `first` is the oldest offset that may
-- be there, `total` the bytes of all entries that ever were, `gone` of those before `first`, `withdrawn` the number of
-- messages that were, `touched` when the expiries were last set.
--
-- Time is cut into slices as long as the window. The hash of a slice has the records of keys (content, chain, offset,
-- time) and rates (when the bucket is full again, Unix µs). Two are looked at, and older ones go as a whole, so that no
-- record needs a key and an expiry of its own. `slice` is twice the number of the last one, odd where the one before
-- it has something.
--
-- side holds, by offset of the message, 'd' and the newest edit of a deleted one (0 for none), the newest edit of an
-- edited one; 'w' where there is any of these; and read marks by '@' and the user's id.
--
-- Answers chain, offset, newline, time of what was stored; D duplicate and C key conflict, each with the same behind it;
-- R over the rate, with the wait in ms; N no such target; F somebody else's target.
--
-- Everything is looked at before anything is written, and the first write is one that Redis refuses when it is full.
-- Redis's Lua hashes each byte of each string that it makes, and writes a number slowly: hence no string that could be
-- spared, and '%d' or the digits that came from Redis in place of a number where there is one in each message. Others are
-- written without an exponent up to 1e14, which offsets and times stay below.

local call, format, pack, match, sub = redis.call, string.format, struct.pack, string.match, string.sub
local FORMAT = '>I6c16I6I6I6I6I4I6I6'

-- What an entry counts for beside its bytes.
local OVERHEAD = 136

local clock = call('TIME')
local micros = clock[2]
local at_text = clock[1] .. sub(#micros == 6 and micros or format('%06d', micros), 1, 3)
local now = at_text + 0

local meta = call('GET', KEYS[1])
local offset, chain, at, first, total, gone, withdrawn, touched, slice
if meta then
    if #meta ~= 62 then
        return redis.error_reply('CORRUPT ' .. KEYS[1])
    end
    offset, chain, at, first, total, gone, withdrawn, touched, slice = struct.unpack(FORMAT, meta)
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
    if before and not found[1] then
        found[1], place = call('HGET', previous, field), previous
    end
    if before and not found[2] then
        found[2] = call('HGET', previous, rate)
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

-- 2. The rate. More than a million a second is none.
if INTERVAL > 0 then
    local now_us = clock[1] * 1000000 + micros
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
    offset, chain, at, first, total, gone, withdrawn, touched, slice = 0, ARGV[1], 0, 1, 0, 0, 0, 0, -1
elseif withdrawn > 0 and call('HEXISTS', KEYS[3], 'w') == 0 then
    -- What was withdrawn isn't known any more (evicted): nothing of it may be served.
    call('UNLINK', KEYS[2])
    first, gone, withdrawn = offset + 1, total, 0
end
if now >= at then
    at = now
else
    at_text = format('%d', at)
end
offset = offset + 1
local head = format('%d', offset)
local id = head
head = head .. '\n' .. at_text
local next_chain = sub(redis.sha1hex(chain .. '\n' .. head .. '\n' .. ARGV[2]), 1, 16)
local entry = head .. '\n' .. chain .. '\n' .. next_chain .. '\n' .. ARGV[4]
if offset % STEP > 0 then
    call('XADD', KEYS[2], id, 'e', entry)
else
    call('XADD', KEYS[2], id, 'e', entry, 'b', total)
end
total = total + #entry + OVERHEAD

if kind == 'e' or kind == 'd' then
    call('HSET', KEYS[3], target, kind == 'e' and offset or 'd' .. (state or '0'), 'w', '')
    call('PEXPIRE', KEYS[3], LIVE)
    if not state then
        withdrawn = withdrawn + 1
    end
end

-- 5. The trim: lazily, and a few at a time. Each entry whose offset STEP divides says how many bytes were before it, so
-- that what only the count demands is done without reading what goes.
local many = offset - first >= TRIM_AT
if many or total - gone > TRIM_AT_BYTES then
    local step = offset - MOST + 1
    step = step - step % STEP
    local there = many and withdrawn == 0 and call('XRANGE', KEYS[2], step, step)[1]
    local some, oldest = 0, {}
    if there and there[2][4] then
        first, gone = step, there[2][4] + 0
    else
        -- One more than the count demands, to see where the log begins then.
        some = math.min(math.max(offset - first - MOST + 2, 64), 256)
        oldest = call('XRANGE', KEYS[2], '-', '+', 'COUNT', some)
    end
    for i = 1, #oldest do
        local id, old = oldest[i][1], oldest[i][2][2]
        first = sub(id, 1, -3) + 0
        if first == offset or (offset - first < MOST and total - gone <= MOST_BYTES) then
            break
        end
        gone = gone + #old + OVERHEAD
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
        gone = total - #entry - OVERHEAD
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
meta = pack(FORMAT, offset, next_chain, at, first, total, gone, withdrawn, touched, slice)
if refresh then
    call('SET', KEYS[1], meta, 'PX', LIVE)
    call('PEXPIRE', KEYS[2], LIVE)
    call('PEXPIRE', KEYS[3], LIVE)
else
    call('SETRANGE', KEYS[1], 0, meta)
end
if full then
    call('HSET', current, field, ARGV[3] .. record, rate, format('%d', full))
else
    call('HSET', current, field, ARGV[3] .. record)
end
if turn then
    call('PEXPIRE', current, WINDOW * 2 + 1000)
end
call('PUBLISH', KEYS[2], entry)
return record
