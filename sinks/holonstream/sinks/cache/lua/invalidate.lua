-- Invalidate holons of one partition.
--   KEYS[1]   the partition's watermarks      KEYS[2..n+1]  the holons' keys
--   ARGV[1]   position of the batch's last event, ARGV[2] the position acknowledged before (20 digits each)
--   ARGV[3]   life of a tombstone, seconds
--   ARGV[4]   n positions of 20 digits, one text
--   ARGV[5]   n slots of 4 digits, one text   ARGV[6]  the partition (5 digits)
--   ARGV[7]   the topic's id, or nothing      ARGV[8]  grace period, ARGV[9] lease (milliseconds)
--   ARGV[10]  a new generation
-- Returns the number of tombstones written.
local watermarks, last, acknowledged, ttl, positions, slot_text, partition, topic = KEYS[1], unpack(ARGV, 1, 7)
local count = #KEYS - 1

local slots = {}
for i = 1, count do
  slots[i] = string.sub(slot_text, i * 4 - 3, i * 4)
end
local marks = read_watermarks(watermarks, slots)
if are_lost(marks, acknowledged, topic) then
  -- And with them an unknown number of tombstones. Some may be of this batch, already written before: the floor is its end.
  local floor = last
  if acknowledged > floor then floor = acknowledged end
  make_floor(watermarks, floor, topic, ARGV[10], ARGV[8], ARGV[9])
  marks = {floor = floor, invalidated = floor, generation = ARGV[10], slots = {}}
end
local floor, generation, before = marks.floor, marks.generation, marks.slots
local origin = generation .. partition

local highest, written = {}, 0
for i = 1, count do
  local slot, position = slots[i], string.sub(positions, i * 20 - 19, i * 20)
  local known = before[i] or floor
  local kind, present = read_entry(KEYS[i + 1], generation)
  if not kind then
    -- The record may come again, and a newer tombstone of this holon may have been evicted since. So the new one stands
    -- at the highest position that is known of the slot.
    local tombstone = position
    if known > tombstone then tombstone = known end
    if floor > tombstone then tombstone = floor end
    redis.call('SET', KEYS[i + 1], 'T' .. tombstone .. origin, 'EX', ttl)
    written = written + 1
  elseif present < position then
    redis.call('SET', KEYS[i + 1], 'T' .. position .. origin, 'EX', ttl)
    written = written + 1
  end
  if position > (highest[slot] or known) then highest[slot] = position end
end

local changes = {}
if last > marks.invalidated then changes = {'invalidated', last} end
for slot, position in pairs(highest) do
  changes[#changes + 1] = slot
  changes[#changes + 1] = position
end
if #changes > 0 then redis.call('HSET', watermarks, unpack(changes)) end
return written
