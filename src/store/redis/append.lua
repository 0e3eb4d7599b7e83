-- Appends one entry to a room's log, or says why not. One call, atomic, and never more work for a longer history.
--
-- KEYS  1 meta  2 log, whose name is the channel's too  3 side  4 keys
-- ARGV  1 digest of the entry  2 hash of the content that the key stands for, 16 digits  3 the draft as it is kept
--       4 field of the key     5 field of the rate: 'r' and the author's id
--       6 kind, and 7 target, of an edit, deletion or reaction
--
-- In front of this file stand the limits: WINDOW of keys, IDLE time and how long things LIVE beyond their last refresh, in
-- ms; INTERVAL of sends and a full BURST, in µs; MOST entries and bytes, and at how many more a trim begins (TRIM_AT);
-- STEP, see the trim.
--
-- meta is a hash. Its field 'm' is where the log stands, packed: offset, chain, at, first, total, gone, withdrawn, slice, ends.
-- `first` is the oldest offset that may be there, `total` the bytes of all entries that ever were, `gone` of those before
-- `first`, `withdrawn` the number of messages that were, `ends` when meta itself will expire.
--
-- The other fields of meta are records of keys (content, chain, offset, time) and rates (when the bucket is full again, Unix
-- µs) of a slice of time that began at `slice` and is as long as the window. With the first entry behind it they become
-- `keys`, all at once, and what that was goes: so no record needs a key and an expiry of its own.
--
-- Redis's clock is how long meta still lives, taken from `ends`: one number, where TIME makes a table of two strings. Only within
-- the slice, so that an expiry that somebody else has set makes no other time than that.
--
-- side holds, by offset of the message, 'd' and the newest edit of a deleted one (0 for none), the newest edit of an
-- edited one; 'w' where there is any of these; and read marks by '@' and the user's id.
--
-- Answers content, chain, offset, newline, time of what was stored; D duplicate and C key conflict, each with the same
-- behind it; R over the rate, with the wait in ms; N no such target; F somebody else's target.
--
-- Everything is looked at before anything is written, and the first write is one that Redis refuses when it is full: behind
-- any other it would refuse none. Each call of a command costs, and Redis's Lua hashes each byte of each string that it makes
-- and writes a number slowly: hence no call and no string that could be spared, and '%d' in place of a number where there is
-- one in each message. Others are written without an exponent up to 1e14, which offsets and times stay below.

local call, format, pack, sub = redis.call, string.format, struct.pack, string.sub
local META, LOG, SIDE, PREVIOUS = unpack(KEYS)
local digest, content, draft, field, rate, kind, target = unpack(ARGV)
local FORMAT = '>I6c16I6I6I6I6I4I6I6'

-- What an entry counts for beside its bytes.
local OVERHEAD = 136

local found = call('HMGET', META, 'm', field, rate)
local meta, record, full = found[1], found[2], found[3]
local offset, chain, at, first, total, gone, withdrawn, slice, ends, now
if meta then
    if #meta ~= 62 then
        return redis.error_reply('CORRUPT ' .. META)
    end
    offset, chain, at, first, total, gone, withdrawn, slice, ends = struct.unpack(FORMAT, meta)
    now = ends - call('PTTL', META)
end
if not meta or now < slice or now >= slice + WINDOW then
    local clock = call('TIME')
    now = clock[1] * 1000 + math.floor(clock[2] / 1000)
end
local fresh = not meta or now - at >= IDLE

-- 1. The key.
if not fresh then
    record = record or call('HGET', PREVIOUS, field)
    if record and now - string.match(record, '%d+$') < WINDOW then
        if sub(record, 1, 16) ~= content then
            return 'C' .. record
        end
        -- A write, because a WAIT behind a script that wrote nothing would prove nothing; and one that a full Redis takes.
        call('PEXPIREAT', META, format('%d', ends))
        return 'D' .. record
    end
end

-- 2. The rate. More than a million a second is none.
if INTERVAL > 0 then
    local now_us = now * 1000
    full = not fresh and (full or call('HGET', PREVIOUS, rate))
    full = full and struct.unpack('>I7', full) or 0
    if full < now_us or full > now_us + BURST then
        full = now_us
    end
    full = full + INTERVAL
    if full > now_us + BURST then
        return 'R' .. math.ceil((full - now_us - BURST) / 1000)
    end
end

-- 3. The target. Where it isn't known any more what was withdrawn (evicted), nothing of before may be served.
local unsure = not fresh and withdrawn > 0 and call('HEXISTS', SIDE, 'w') == 0
local state
if target then
    local found = not fresh and not unsure and call('XRANGE', LOG, target, target)[1]
    if not found then
        return 'N'
    end
    local target_kind, author = string.match(found[2][2], '^%d+\n%d+\n%x+\n%x+\n(%a)\n([^\n]*)\n')
    state = call('HGET', SIDE, target)
    if target_kind ~= 'm' or (state and sub(state, 1, 1) == 'd') then
        return 'N'
    end
    if kind ~= 'r' and author ~= sub(rate, 2) then
        return 'F'
    end
end

-- 4. The entry.
if fresh then
    -- Refused when Redis is full, as an UNLINK is not.
    call('HSET', META, 'm', '')
    call('UNLINK', META, LOG, SIDE, PREVIOUS)
    -- Nobody starts a log with the same entry in the same millisecond again.
    chain = sub(redis.sha1hex(META .. now .. digest), 1, 16)
    offset, at, first, total, gone, withdrawn, slice = 0, 0, 1, 0, 0, 0, 0
elseif unsure then
    call('HSET', META, 'm', meta)
    call('UNLINK', LOG)
end
if now > at then
    at = now
end
offset = offset + 1
local id = format('%d', offset)
local head = id .. '\n' .. format('%d', at)
local next_chain = sub(redis.sha1hex(chain .. '\n' .. head .. '\n' .. digest), 1, 16)
local entry = head .. '\n' .. chain .. '\n' .. next_chain .. '\n' .. draft
local added
if offset % STEP > 0 then
    added = call('XADD', LOG, 'NOMKSTREAM', id, 'e', entry)
else
    added = call('XADD', LOG, 'NOMKSTREAM', id, 'e', entry, 'b', total)
end
if not added then
    -- The first of a log, or of what is left of one after its entries were dropped or evicted.
    call('XADD', LOG, id, 'e', entry, 'b', total)
    first, gone, withdrawn = offset, total, 0
    if not fresh then
        call('PEXPIREAT', LOG, format('%d', ends))
    end
end
total = total + #entry + OVERHEAD

if kind == 'e' or kind == 'd' then
    call('HSET', SIDE, target, kind == 'e' and offset or 'd' .. (state or '0'), 'w', '')
    call('PEXPIRE', SIDE, LIVE)
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
    local there = many and withdrawn == 0 and call('XRANGE', LOG, step, step)[1]
    local some, oldest = 0, {}
    if there and there[2][4] then
        first, gone = step, there[2][4] + 0
    else
        -- One more than the count demands, to see where the log begins then.
        some = math.min(math.max(offset - first - MOST + 2, 64), 256)
        oldest = call('XRANGE', LOG, '-', '+', 'COUNT', some)
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
            local k, t = string.match(old, '^%d+\n%d+\n%x+\n%x+\n(%a)\n[^\n]*\n[^\n]*\n[^\n]*\n(%d*)\n')
            local message = k == 'm' and first or k == 'e' and t
            local edit = message and string.match(call('HGET', SIDE, message) or '', '%d+')
            if edit and edit + 0 <= first then
                call('HDEL', SIDE, message)
                withdrawn = withdrawn - 1
                if withdrawn == 0 then
                    call('HDEL', SIDE, 'w')
                end
            end
        end
        first = first + 1
    end
    call('XTRIM', LOG, 'MINID', '=', first)
    if first == offset then
        gone = total - #entry - OVERHEAD
    end
end

-- 6. The rest.
local turn = now - slice >= WINDOW
if turn then
    if now - slice < WINDOW * 2 then
        call('UNLINK', PREVIOUS)
        call('RENAME', META, PREVIOUS)
        call('PEXPIRE', PREVIOUS, WINDOW)
    else
        call('UNLINK', PREVIOUS, META)
    end
    slice, ends = now, now + LIVE
end
record = content .. next_chain .. head
meta = pack(FORMAT, offset, next_chain, at, first, total, gone, withdrawn, slice, ends)
if INTERVAL > 0 then
    call('HSET', META, 'm', meta, field, record, rate, pack('>I7', full))
else
    call('HSET', META, 'm', meta, field, record)
end
if turn then
    call('PEXPIREAT', META, format('%d', ends))
    call('PEXPIRE', LOG, LIVE)
    call('PEXPIRE', SIDE, LIVE)
end
call('PUBLISH', LOG, entry)
return record
