-- Every script that writes begins with this. A key may hold what another program wrote: such an entry counts as absent.
-- Positions are compared as text of fixed width: Lua's numbers are doubles, exact only to 2^53.

-- Which server this is, while it is the master: Redis draws a new id at each start and each promotion.
local replication = redis.call('INFO', 'replication')
local server = string.find(replication, 'role:master', 1, true) and string.match(replication, 'master_replid:(%x+)')
if not server then return redis.error_reply('READONLY this server is no master, or has no replication id') end

local function is_position(text)
  return text and #text == 20 and not string.find(text, '%D') and text <= '09223372036854775807'
end

-- The reply, or nothing when the key holds another type. Raises every other error.
local function typed(reply)
  if type(reply) ~= 'table' or not reply.err then return reply end
  if not string.find(reply.err, 'WRONGTYPE', 1, true) then error(reply.err) end
end

-- Kind, position, generation and partition of a holon's entry; nothing without an entry.
local function parse_entry(entry)
  local kind, position = string.sub(entry, 1, 1), string.sub(entry, 2, 21)
  local generation, partition = string.sub(entry, 22, 33), string.sub(entry, 34, 38)
  if (kind == 'V' or kind == 'T') and is_position(position) and string.find(partition, '^%d%d%d%d%d$') then
    return kind, position, generation, partition
  end
end

-- Kind and position of a holon's entry; nothing without an entry of this generation.
local function read_entry(key, generation)
  local header = typed(redis.pcall('GETRANGE', key, 0, 37))
  if not header then return end
  local kind, position, found = parse_entry(header)
  if found == generation then return kind, position end
end

-- The watermarks, with the values of some slots, each false when it has none; nothing when there are none, or when they
-- were written on another server, or on this one before it was a replica or started again.
local function read_watermarks(key, slots)
  local found = typed(redis.pcall(
    'HMGET', key, 'server', 'topic', 'generation', 'floor', 'invalidated', 'fills_from', 'lease', unpack(slots)))
  if not found or found[1] ~= server then return end
  local marks = {
    topic = found[2], generation = found[3], floor = found[4], invalidated = found[5],
    fills_from = tonumber(found[6]), lease = tonumber(found[7]), slots = {},
  }
  if not (marks.generation and is_position(marks.floor) and is_position(marks.invalidated)) then return end
  if not (marks.fills_from and marks.lease) then return end
  for i = 1, #slots do
    local position = found[7 + i]
    if position and not is_position(position) then return end
    marks.slots[i] = position
  end
  return marks
end

-- Milliseconds by Redis's clock.
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Whether watermarks are lost: they are absent, from before what was acknowledged, or of a topic that another replaced.
local function are_lost(marks, acknowledged, topic)
  return not marks or marks.invalidated < acknowledged or (topic ~= '' and topic ~= marks.topic)
end

-- Begin a generation: entries of an earlier one count as absent. Lives are in milliseconds.
local function make_floor(key, position, topic, generation, grace_period, lease)
  redis.call('DEL', key)
  redis.call('HSET', key, 'server', server, 'topic', topic, 'generation', generation, 'floor', position,
    'invalidated', position, 'fills_from', now() + grace_period, 'lease', now() + lease)
end

