-- Every script begins with this. A key may hold what another program wrote: such an entry counts as absent.
-- Positions are compared as text of fixed width: Lua's numbers are doubles, exact only to 2^53.
local function is_position(text)
  return #text == 20 and not string.find(text, '%D') and text <= '09223372036854775807'
end

-- The reply, or nothing when the key holds another type. Raises every other error.
local function typed(reply)
  if type(reply) ~= 'table' or not reply.err then return reply end
  if not string.find(reply.err, 'WRONGTYPE', 1, true) then error(reply.err) end
end

-- Kind and position of a holon's entry; nothing without an entry.
local function read_entry(key)
  local header = typed(redis.pcall('GETRANGE', key, 0, 20))
  if not header then return end
  local kind, position = string.sub(header, 1, 1), string.sub(header, 2)
  if (kind == 'V' or kind == 'T') and is_position(position) then return kind, position end
end

-- The floor, when fills may begin, and the values of some slots, each false when it has none; nothing without a floor.
local function read_watermarks(key, slots)
  local found = typed(redis.pcall('HMGET', key, 'floor', 'fills_from', unpack(slots)))
  if not found or not found[1] or not tonumber(found[2]) then return end
  local fills_from = tonumber(table.remove(found, 2))
  for _, position in ipairs(found) do
    if position and not is_position(position) then return end
  end
  return table.remove(found, 1), fills_from, found
end

-- Milliseconds by Redis's clock.
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Make a floor where there is none.
local function make_floor(key, position, grace_period)
  redis.call('DEL', key)
  redis.call('HSET', key, 'floor', position, 'fills_from', now() + grace_period)
end

