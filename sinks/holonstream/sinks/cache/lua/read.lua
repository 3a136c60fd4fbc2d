-- Read a holon's entry. Runs for every read, so it stands alone and does no more than it must.
--   KEYS[1]  the holon's key      ARGV[1]  the key of watermarks, without the partition
-- Returns the entry, or nothing when there is none that may be trusted.
local replication = redis.call('INFO', 'replication')
if not string.find(replication, 'role:master', 1, true) then
  return redis.error_reply('READONLY this server is no master')
end
local entry = redis.pcall('GET', KEYS[1])
if type(entry) ~= 'string' then
  if not entry or string.find(entry.err, 'WRONGTYPE', 1, true) then return false end
  return entry
end
local partition = tonumber(string.sub(entry, 34, 38))
if not partition then return false end
local marks = redis.pcall('HMGET', ARGV[1] .. partition, 'server', 'generation', 'lease')
if marks.err then
  if string.find(marks.err, 'WRONGTYPE', 1, true) then return false end
  return marks
end
local server, generation, lease = marks[1], marks[2], tonumber(marks[3])
if not server or #server ~= 40 or not string.find(replication, 'master_replid:' .. server, 1, true) then return false end
if string.sub(entry, 22, 33) ~= generation or not lease then return false end
local time = redis.call('TIME')
if time[1] * 1000 >= lease then return false end
return entry
