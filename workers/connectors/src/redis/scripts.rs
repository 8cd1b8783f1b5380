//! What happens at the server in one go: a row replaces the one that is there unless that one is newer.

use std::borrow::Cow;

use redis::{Cmd, Script};

use super::store::scripts::StoreScripts;

/// A row as a hash. Arguments: the version's field or nothing, the version, seconds to live or 0, then fields and values.
/// Versions are compared as texts of digits, because Lua's numbers are doubles.
const ROW: &str = r"
local function older(one, other)
  local one_minus, other_minus = one:sub(1, 1) == '-', other:sub(1, 1) == '-'
  if one == other then return false end
  if one_minus ~= other_minus then return one_minus end
  if #one ~= #other then return (#one < #other) ~= one_minus end
  return (one < other) ~= one_minus
end
if ARGV[1] ~= '' then
  local stored = redis.call('HGET', KEYS[1], ARGV[1])
  if stored and older(ARGV[2], stored) then return 0 end
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(ARGV, 4))
if ARGV[3] ~= '0' then redis.call('EXPIRE', KEYS[1], ARGV[3]) end
return 1
";

/// Rows as JSON texts that hold their versions, each under its key. Arguments: the version's name or nothing, seconds to live or 0,
/// then of each key its version and its text. A text that is there and is no JSON object with a version gives way.
const DOCUMENTS: &str = r"
for place, key in ipairs(KEYS) do
  local version, text = ARGV[2 * place + 1], ARGV[2 * place + 2]
  local is_newer = true
  if ARGV[1] ~= '' then
    local stored = redis.call('GET', key)
    if stored then
      local is_json, document = pcall(cjson.decode, stored)
      local found = is_json and type(document) == 'table' and document[ARGV[1]]
      is_newer = not (type(found) == 'number' and found > tonumber(version))
    end
  end
  if is_newer then
    if ARGV[2] ~= '0' then
      redis.call('SET', key, text, 'EX', ARGV[2])
    else
      redis.call('SET', key, text)
    end
  end
end
return #KEYS
";

/// The scripts, by their digest.
pub(super) struct Scripts {
    row: Script,
    documents: Script,
    pub(super) store: StoreScripts,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self { row: Script::new(ROW), documents: Script::new(DOCUMENTS), store: StoreScripts::new() }
    }

    /// The commands that make them known to a server.
    pub(super) fn load(&self) -> impl Iterator<Item = Cmd> + use<> {
        [ROW, DOCUMENTS].into_iter().chain(StoreScripts::TEXTS).map(|text| {
            let mut command = redis::cmd("SCRIPT");
            command.arg("LOAD").arg(text);
            command
        })
    }

    /// A command that writes a row; the caller adds fields and values.
    pub(super) fn row(&self, key: &str, version: Option<(&str, i64)>, expire_seconds: u64) -> Cmd {
        let (name, number) = version.unwrap_or_default();
        let mut command = call(&self.row, &[key]);
        command.arg(name).arg(number).arg(expire_seconds);
        command
    }

    /// A command that writes documents, whose versions have a name; the caller adds each one's version and text. All of that and the
    /// keys have so many bytes together.
    pub(super) fn documents<'a>(
        &self,
        keys: impl ExactSizeIterator<Item = Cow<'a, str>>,
        bytes: usize,
        version: Option<&str>,
        expire_seconds: u64,
    ) -> Cmd {
        let mut command = Cmd::with_capacity(5 + 3 * keys.len(), bytes + 128);
        command.arg("EVALSHA").arg(self.documents.get_hash()).arg(keys.len());
        for key in keys {
            command.arg(&*key);
        }
        command.arg(version.unwrap_or_default()).arg(expire_seconds);
        command
    }
}

/// A command that runs a script on some keys; the caller adds arguments.
pub(super) fn call(script: &Script, keys: &[impl AsRef<str>]) -> Cmd {
    let mut command = redis::cmd("EVALSHA");
    command.arg(script.get_hash()).arg(keys.len());
    for key in keys {
        command.arg(key.as_ref());
    }
    command
}
