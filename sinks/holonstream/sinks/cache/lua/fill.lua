-- Put a holon that was read from the graph into the cache, unless something newer is known.
--   KEYS[1]  the holon's key      KEYS[2]  the watermarks of its partition
--   ARGV[1]  the holon's position, ARGV[2] the position up to which the graph had applied the partition (20 digits each)
--   ARGV[3]  the holon's slot     ARGV[4]  the partition (5 digits)     ARGV[5]  the holon     ARGV[6]  its life, seconds
-- Returns 'filled', or why it was refused.
local marks = read_watermarks(KEYS[2], {ARGV[3]})
if not marks then return 'no_floor' end
local time = now()
if time < marks.fills_from then return 'grace_period' end
if time >= marks.lease then return 'lease' end

-- What was read holds every event up to here.
local reached = ARGV[1]
if ARGV[2] > reached then reached = ARGV[2] end
if reached < marks.floor then return 'floor' end

local kind, position = read_entry(KEYS[1], marks.generation)
if kind == 'V' then
  if ARGV[1] < position then return 'value' end
elseif kind == 'T' then
  if reached < position then return 'tombstone' end
elseif marks.slots[1] and reached < marks.slots[1] then
  return 'slot'
end
redis.call('SET', KEYS[1], 'V' .. ARGV[1] .. marks.generation .. ARGV[4] .. ARGV[5], 'EX', ARGV[6])
return 'filled'
