-- Put a holon that was read from the graph into the cache, unless something newer is known.
--   KEYS[1]  the holon's key      KEYS[2]  the watermarks of its partition
--   ARGV[1]  the holon's position, ARGV[2] the position up to which the graph had applied the partition (20 digits each)
--   ARGV[3]  the holon's slot     ARGV[4]  the entry    ARGV[5]  its life, seconds
-- Returns 'filled', or why it was refused.
-- Positions are compared as text of fixed width: Lua's numbers are doubles, exact only to 2^53.
local watermarks = redis.call('HMGET', KEYS[2], 'floor', 'fills_from', ARGV[3])
local floor, fills_from, slot = watermarks[1], watermarks[2], watermarks[3]
if not floor then return 'no_floor' end
local time = redis.call('TIME')
if time[1] * 1000 + math.floor(time[2] / 1000) < tonumber(fills_from) then return 'grace_period' end

-- What was read holds every event up to here.
local reached = ARGV[1]
if ARGV[2] > reached then reached = ARGV[2] end
if reached < floor then return 'floor' end

local present = redis.call('GETRANGE', KEYS[1], 0, 20)
local kind, position = string.sub(present, 1, 1), string.sub(present, 2)
if kind == 'V' then
  if ARGV[1] < position then return 'value' end
elseif kind == 'T' then
  if reached < position then return 'tombstone' end
elseif slot and reached < slot then
  return 'slot'
end
redis.call('SET', KEYS[1], ARGV[4], 'EX', ARGV[5])
return 'filled'
