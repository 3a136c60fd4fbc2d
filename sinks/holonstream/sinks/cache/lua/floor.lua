-- Make the floors of partitions where they are missing; raise those in their grace period. A floor is never lowered.
-- Renews the leases.
--   KEYS     watermarks  ARGV[1]  grace period, ARGV[2] lease (milliseconds)
--   ARGV[3]  the topic's id, or nothing          ARGV[4]  a new generation
--   ARGV[5..]  two positions per key (20 digits each): processed, and acknowledged
-- Returns the number of floors made.
local made = 0
for i, key in ipairs(KEYS) do
  local processed, acknowledged = ARGV[2 * i + 3], ARGV[2 * i + 4]
  local marks = read_watermarks(key, {})
  if are_lost(marks, acknowledged, ARGV[3]) then
    make_floor(key, processed, ARGV[3], ARGV[4], ARGV[1], ARGV[2])
    made = made + 1
  else
    local time = now()
    redis.call('HSET', key, 'lease', time + ARGV[2])
    local latest = time + ARGV[1]
    if marks.fills_from > latest then redis.call('HSET', key, 'fills_from', latest) end  -- the clock was set back
    if processed > marks.floor and time < marks.fills_from then redis.call('HSET', key, 'floor', processed) end
  end
end
return made
