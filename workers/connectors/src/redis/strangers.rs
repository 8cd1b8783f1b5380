//! Keys that lie where documents would and are none: of another type, with a name that is no text, or with a value that is no
//! JSON object with a version. Memory: their names, and one pipeline.

use std::collections::BTreeSet;

use headrace_core::Result;
use headrace_core::table::Table;
use redis::Cmd;

use super::documents::Shape;
use super::link::{Link, PIPELINE};

/// What the names begin with that Headrace gives its own keys: notes of tables, and a ledger.
const OWN: [&[u8]; 2] = [b"headrace-", b"{headrace:"];
/// How many keys a node looks at for one answer.
const SCAN: usize = 1_000;

/// Finds them; none in a table that is not one of documents, whose keys nobody else writes.
///
/// # Errors
/// When the server fails.
pub(super) async fn strangers(link: &Link, table: &Table) -> Result<Vec<String>> {
    if !table.documents {
        return Ok(Vec::new());
    }
    let shape = Shape::of(table)?;
    let context = format!("cannot read table `{}` at {}", table.name, link.options.place);
    let names: Vec<Vec<u8>> = names(link, &context).await?.into_iter().collect();
    let start = link.options.prefix.len();
    let mut found = Vec::new();
    for part in names.chunks(PIPELINE) {
        // Asked for together; a value is asked for only where it is a text, which a key of another type would refuse.
        let types = ask(link, &context, "TYPE", part).await?;
        let types =
            types.into_iter().map(|answer| link.read::<String>(&context, answer)).collect::<Result<Vec<_>>>()?;
        let typed = part.iter().zip(&types);
        let texts: Vec<Vec<u8>> =
            typed.clone().filter(|(_, kind)| *kind == "string").map(|(name, _)| name.clone()).collect();
        let mut values = ask(link, &context, "GET", &texts).await?.into_iter();
        for (name, kind) in typed {
            let shown = String::from_utf8_lossy(&name[start..]).into_owned();
            let is_row = match kind.as_str() {
                "string" => {
                    let value =
                        values.next().map(|answer| link.read::<Option<Vec<u8>>>(&context, answer)).transpose()?;
                    match (std::str::from_utf8(&name[start..]), value.flatten().map(String::from_utf8)) {
                        (Ok(name), Some(Ok(text))) => shape.read(name, text).is_some(),
                        // It has gone meanwhile.
                        (_, None) => true,
                        _ => false,
                    }
                }
                // It has gone, or it is a row of a table that is kept beside the documents.
                "none" => true,
                _ => !shown.bytes().all(|byte| byte.is_ascii_digit()),
            };
            if !is_row {
                found.push(shown);
            }
        }
    }
    Ok(found)
}

async fn ask(link: &Link, context: &str, command: &str, names: &[Vec<u8>]) -> Result<Vec<redis::Value>> {
    let commands: Vec<Cmd> = names
        .iter()
        .map(|name| {
            let mut command = redis::cmd(command);
            command.arg(name);
            command
        })
        .collect();
    if commands.is_empty() { Ok(Vec::new()) } else { link.run(context, &commands).await }
}

/// All keys but our own.
async fn names(link: &Link, context: &str) -> Result<BTreeSet<Vec<u8>>> {
    let prefix = link.options.prefix.as_bytes();
    let mut pattern: Vec<u8> = Vec::new();
    for byte in prefix {
        if b"*?[]\\".contains(byte) {
            pattern.push(b'\\');
        }
        pattern.push(*byte);
    }
    pattern.push(b'*');
    let mut names = BTreeSet::new();
    for node in link.nodes(context).await? {
        let mut cursor = 0_u64;
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(SCAN);
            let (next, found): (u64, Vec<Vec<u8>>) = link.ask(context, &node, scan).await?;
            let is_own = |name: &Vec<u8>| OWN.iter().any(|own| name[prefix.len()..].starts_with(own));
            names.extend(found.into_iter().filter(|name| !is_own(name)));
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
    }
    Ok(names)
}
