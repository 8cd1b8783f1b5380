-- Commits a unit: checks its right to, works out every row and segment, and only then writes, so that it writes all or nothing.
-- KEYS: scope, turn, staged, then two for each table (rows, order) or space of state (segments, lists).
-- ARGV: the heading, whose last part has a letter for each of these pairs (t or s), and the last chunk of changes; earlier ones are
-- staged. Both are MessagePack.
-- Answers `ok`; or `fenced` and a partition; `turn` where it is another unit's; `overflow`, a number of KEYS and a column.
local token, sequence, totals, staged, claims, reached, spaces, kinds = unpack(cmsgpack.unpack(ARGV[1]))
local PART = 4000 -- Lua hands over at most about 8000 values at once

for at = 1, #claims, 2 do
  if redis.call('HGET', KEYS[1], 'e:' .. claims[at]) ~= claims[at + 1] then return {'fenced', claims[at]} end
end
if redis.call('HGET', KEYS[2], 'token') ~= token
  or (redis.call('HGET', KEYS[1], 'sequence') or '0') ~= sequence
  or redis.call('HLEN', KEYS[3]) ~= staged then
  return {'turn'}
end
local next_sequence = string.format('%.0f', sequence + 1)
local fault

-- What is kept under one key by field: `known` as it was found, `now` as it will be; false for nothing.
local hashes = {}
local function hash(number)
  if not hashes[number] then hashes[number] = {known = {}, now = {}} end
  return hashes[number]
end
local function load(number, fields)
  local known, missing = hash(number).known, {}
  for _, field in ipairs(fields) do
    if known[field] == nil then missing[#missing + 1] = field end
  end
  for from = 1, #missing, PART do
    local to = math.min(from + PART - 1, #missing)
    local found = redis.call('HMGET', KEYS[number], unpack(missing, from, to))
    for at = from, to do known[missing[at]] = found[at - from + 1] end
  end
end
local function current(number, field)
  local value = hashes[number].now[field]
  if value == nil then value = hashes[number].known[field] end
  return value
end

-- Versions and sums are texts of digits, because Lua's numbers are doubles.
local function older(one, other)
  local one_minus, other_minus = one:sub(1, 1) == '-', other:sub(1, 1) == '-'
  if one == other then return false end
  if one_minus ~= other_minus then return one_minus end
  if #one ~= #other then return (#one < #other) ~= one_minus end
  return (one < other) ~= one_minus
end
local BILLION, EXACT = 1000000000, 9007199254740992
local function halves(text)
  local sign, digits = 1, text
  if text:sub(1, 1) == '-' then sign, digits = -1, text:sub(2) end
  return sign * (tonumber(digits:sub(1, -10)) or 0), sign * tonumber(digits:sub(-9))
end
-- The sum of two whole numbers of 64 bits; nothing where it has more.
local function sum(one, other)
  local plain = tonumber(one) + tonumber(other)
  if math.abs(tonumber(one)) < EXACT and math.abs(tonumber(other)) < EXACT and math.abs(plain) < EXACT then
    return string.format('%.0f', plain)
  end
  local high, low = halves(one)
  local other_high, other_low = halves(other)
  high, low = high + other_high, low + other_low
  if low >= BILLION then high, low = high + 1, low - BILLION end
  if low <= -BILLION then high, low = high - 1, low + BILLION end
  if high > 0 and low < 0 then high, low = high - 1, low + BILLION end
  if high < 0 and low > 0 then high, low = high + 1, low - BILLION end
  if high > 9223372036 or (high == 9223372036 and low > 854775807) then return nil end
  if high < -9223372036 or (high == -9223372036 and low < -854775808) then return nil end
  if high == 0 then return string.format('%.0f', low) end
  return string.format('%.0f%09.0f', high, math.abs(low))
end

-- A row that comes onto one that is there; nothing where that one is newer.
local function merged(number, merges, version, old, new)
  local is, comes = cmsgpack.unpack(old), cmsgpack.unpack(new)
  if version > 0 and older(comes[version], is[version]) then return nil end
  for at, merge in ipairs(merges) do
    if merge == 'first' then
      if is[at] then comes[at] = is[at] end
    elseif merge == 'add' then
      if not comes[at] then
        comes[at] = is[at]
      elseif is[at] then
        comes[at] = sum(is[at], comes[at])
        if not comes[at] then
          fault = {'overflow', tostring(number), tostring(at)}
          return nil
        end
      end
    elseif merge ~= 'replace' and is[tonumber(merge)] then
      comes[at] = is[at]
    end
  end
  return cmsgpack.pack(comes)
end

local change = {}
function change.upsert(number, merges, version, keys, rows)
  local now = hash(number).now
  if #merges > 0 then load(number, keys) end
  for at, key in ipairs(keys) do
    local row, old = rows[at], #merges > 0 and current(number, key)
    if old then row = merged(number, merges, version, old, row) end
    if row then now[key] = row end
  end
end
function change.delete(number, keys)
  local now = hash(number).now
  for _, key in ipairs(keys) do now[key] = false end
end
-- Sets a column of rows that still have a value in another; 0 for rows that only need to be there.
function change.update(number, set, value, where, equal, keys)
  load(number, keys)
  for _, key in ipairs(keys) do
    local old = current(number, key)
    local row = old and cmsgpack.unpack(old)
    if row and (where == 0 or row[where] == equal) then
      row[set] = value
      hashes[number].now[key] = cmsgpack.pack(row)
    end
  end
end
-- Segments are under `key:sequence`; a list has the sequences of a key, each between commas.
function change.put(number, keys, blobs)
  load(number + 1, keys)
  local segments, lists = hash(number).now, hash(number + 1).now
  for at, key in ipairs(keys) do
    segments[key .. ':' .. next_sequence] = blobs[at]
    local list = current(number + 1, key) or ','
    if not list:find(',' .. next_sequence .. ',', 1, true) then lists[key] = list .. next_sequence .. ',' end
  end
end
function change.drop(number, keys, sequences)
  load(number + 1, keys)
  local segments, lists = hash(number).now, hash(number + 1).now
  for at, key in ipairs(keys) do
    segments[key .. ':' .. sequences[at]] = false
    local list = current(number + 1, key)
    local from, to = (list or ''):find(',' .. sequences[at] .. ',', 1, true)
    if from then
      list = list:sub(1, from) .. list:sub(to + 1)
      lists[key] = list ~= ',' and list
    end
  end
end

local function carry_out(chunk)
  for _, one in ipairs(cmsgpack.unpack(chunk)) do change[one[1]](unpack(one, 2)) end
end
for at = 1, staged do carry_out(redis.call('HGET', KEYS[3], tostring(at))) end
carry_out(ARGV[2])
if fault then return fault end
-- A key of another type must be met before the first write: what follows cannot fail.
local is_table = {}
for number = 4, #KEYS, 2 do
  is_table[number] = kinds:sub(number / 2 - 1, number / 2 - 1) == 't'
  redis.call('HLEN', KEYS[number])
  redis.call(is_table[number] and 'ZCARD' or 'HLEN', KEYS[number + 1])
end

local function in_parts(command, key, values)
  for from = 1, #values, PART do
    redis.call(command, key, unpack(values, from, math.min(from + PART - 1, #values)))
  end
end
local heading = {'sequence', next_sequence, 'totals', totals, 'commit', token}
for at = 1, #reached, 3 do
  for _, part in ipairs({'a:' .. reached[at], reached[at + 1], 'd:' .. reached[at], reached[at + 2]}) do
    heading[#heading + 1] = part
  end
end
for _, space in ipairs(spaces) do
  heading[#heading + 1] = 's:' .. space
  heading[#heading + 1] = ''
end
in_parts('HSET', KEYS[1], heading)
for number, one in pairs(hashes) do
  local set, ordered, gone = {}, {}, {}
  for field, value in pairs(one.now) do
    if value then
      set[#set + 1] = field
      set[#set + 1] = value
      if is_table[number] and not one.known[field] then
        ordered[#ordered + 1] = '0'
        ordered[#ordered + 1] = field
      end
    else
      gone[#gone + 1] = field
    end
  end
  in_parts('HSET', KEYS[number], set)
  in_parts('HDEL', KEYS[number], gone)
  if is_table[number] then
    in_parts('ZADD', KEYS[number + 1], ordered)
    in_parts('ZREM', KEYS[number + 1], gone)
  end
end
redis.call('DEL', KEYS[2])
redis.call('UNLINK', KEYS[3])
return {'ok'}
