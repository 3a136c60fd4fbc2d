-- Put a holon that was read from the graph into the cache, unless something newer is known.
--   KEYS[1]  the holon's key      KEYS[2]  the watermarks of its partition
--   ARGV[1]  the holon's position, ARGV[2] the position up to which the graph had applied the partition (20 digits each)
--   ARGV[3]  the holon's slot     ARGV[4]  the entry    ARGV[5]  its life, seconds
-- Returns 'filled', or why it was refused.
local floor, fills_from, slots = read_watermarks(KEYS[2], {ARGV[3]})
if not floor then return 'no_floor' end
if now() < fills_from then return 'grace_period' end

-- What was read holds every event up to here.
local reached = ARGV[1]
if ARGV[2] > reached then reached = ARGV[2] end
if reached < floor then return 'floor' end

local kind, position = read_entry(KEYS[1])
if kind == 'V' then
  if ARGV[1] < position then return 'value' end
elseif kind == 'T' then
  if reached < position then return 'tombstone' end
elseif slots[1] and reached < slots[1] then
  return 'slot'
end
redis.call('SET', KEYS[1], ARGV[4], 'EX', ARGV[5])
return 'filled'
