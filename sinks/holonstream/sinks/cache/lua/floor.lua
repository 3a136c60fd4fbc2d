-- Make the floors of partitions where they are missing; raise those in their grace period. A floor is never lowered.
--   KEYS     watermarks  ARGV[1]  grace period, milliseconds    ARGV[2..]  per key, the position processed (20 digits)
-- Returns the number of floors made.
local made = 0
for i, key in ipairs(KEYS) do
  local floor, fills_from = read_watermarks(key, {})
  local position = ARGV[i + 1]
  if not floor then
    make_floor(key, position, ARGV[1])
    made = made + 1
  elseif position > floor and now() < fills_from then
    redis.call('HSET', key, 'floor', position)
  end
end
return made
