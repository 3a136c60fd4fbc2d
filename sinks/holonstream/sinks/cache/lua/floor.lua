-- Make the floors of partitions where they are missing; raise those in their grace period. A floor is never lowered.
--   KEYS     watermarks  ARGV[1]  grace period, milliseconds    ARGV[2..]  per key, the position processed (20 digits)
-- Returns the number of floors made.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local made = 0
for i, key in ipairs(KEYS) do
  local watermarks = redis.call('HMGET', key, 'floor', 'fills_from')
  local floor, fills_from, position = watermarks[1], watermarks[2], ARGV[i + 1]
  if not floor then
    redis.call('HSET', key, 'floor', position, 'fills_from', now + ARGV[1])
    made = made + 1
  elseif position > floor and now < tonumber(fills_from) then
    redis.call('HSET', key, 'floor', position)
  end
end
return made
