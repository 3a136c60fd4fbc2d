-- Read a holon's entry.
--   KEYS[1]  the holon's key      ARGV[1]  the key of watermarks, without the partition
-- Returns the entry, or nothing when there is none that may be trusted.
local entry = typed(redis.pcall('GET', KEYS[1]))
if not entry then return false end
local kind, _, generation, partition = parse_entry(entry)
if not kind then return false end
local marks = read_watermarks(ARGV[1] .. tonumber(partition), {})
if not marks or marks.generation ~= generation or now() >= marks.lease then return false end
return entry
