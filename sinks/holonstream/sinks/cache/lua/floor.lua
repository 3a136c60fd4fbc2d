-- Make the floors of partitions where they are missing; raise those that still settle. A floor is never lowered.
--   KEYS     fences      ARGV[1]  settling time, milliseconds    ARGV[2..]  per fence, the position processed (20 digits)
-- Returns the number of floors made.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local made = 0
for i, fence in ipairs(KEYS) do
  local known = redis.call('HMGET', fence, 'floor', 'settled')
  local floor, settled, position = known[1], known[2], ARGV[i + 1]
  if not floor then
    redis.call('HSET', fence, 'floor', position, 'settled', now + ARGV[1])
    made = made + 1
  elseif position > floor and now < tonumber(settled) then
    redis.call('HSET', fence, 'floor', position)
  end
end
return made
