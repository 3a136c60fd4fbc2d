-- Invalidate holons of one partition.
--   KEYS[1]   the partition's watermarks      KEYS[2..n+1]  the holons' keys
--   ARGV[1]   position of the batch's last event (20 digits)
--   ARGV[2]   life of a tombstone, seconds
--   ARGV[3]   n positions of 20 digits, one text
--   ARGV[4]   n slots of 4 digits, one text   ARGV[5]  grace period, milliseconds
-- Returns the number of tombstones written.
local watermarks, last, ttl, positions, slot_text = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local count = #KEYS - 1

local slots = {}
for i = 1, count do
  slots[i] = string.sub(slot_text, i * 4 - 3, i * 4)
end
local floor, _, before = read_watermarks(watermarks, slots)
if not floor then
  -- The watermarks are lost, and with them an unknown number of tombstones. Some of these may be of this batch, already
  -- written before: the floor is its end.
  floor, before = last, {}
  make_floor(watermarks, floor, ARGV[5])
end

local highest, written = {}, 0
for i = 1, count do
  local slot, position = slots[i], string.sub(positions, i * 20 - 19, i * 20)
  local known = before[i] or floor
  local kind, present = read_entry(KEYS[i + 1])
  if not kind then
    -- The record may come again, and a newer tombstone of this holon may have been evicted since. So the new one stands
    -- at the highest position that is known of the slot.
    local tombstone = position
    if known > tombstone then tombstone = known end
    if floor > tombstone then tombstone = floor end
    redis.call('SET', KEYS[i + 1], 'T' .. tombstone, 'EX', ttl)
    written = written + 1
  elseif present < position then
    redis.call('SET', KEYS[i + 1], 'T' .. position, 'EX', ttl)
    written = written + 1
  end
  if position > (highest[slot] or known) then highest[slot] = position end
end

local changes = {}
for slot, position in pairs(highest) do
  changes[#changes + 1] = slot
  changes[#changes + 1] = position
end
if #changes > 0 then redis.call('HSET', watermarks, unpack(changes)) end
return written
