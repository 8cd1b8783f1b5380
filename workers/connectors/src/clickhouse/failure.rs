//! What the server says, turned into the kinds of errors. Anything not known here counts as external: trying again does no harm.

use headrace_core::Error;

/// As much of a server's text as goes into an error.
const TEXT_BYTES: usize = 600;

/// The error of an answer that is not a success.
pub(super) fn refused(context: &str, status: u16, answer: &[u8]) -> Error {
    let text = said(&String::from_utf8_lossy(answer));
    let Some(code) = code(&text) else {
        let text = format!("{context}: status {status}: {text}");
        // Something that is not ClickHouse, or a proxy in front of it.
        return if (400..500).contains(&status) && status != 408 && status != 429 {
            Error::configuration(text)
        } else {
            Error::external(context, format!("status {status}: {text}"))
        };
    };
    let text = format!("{context}: {text}");
    match code {
        // Unknown user, wrong or missing password, login refused.
        192..=194 | 516 => Error::configuration(format!(
            "{text}; check user and password: in the URL, or without showing it by password_file=FILE, password_env=NAME or HEADRACE_CLICKHOUSE_PASSWORD"
        )),
        81 => Error::configuration(format!("{text}; steps that write create it where the user may")),
        60 => Error::configuration(format!("{text}; run the step that writes it first, or check the name in the URL")),
        195 | 291 | 497 => Error::configuration(format!("{text}; the user lacks a privilege")),
        // Names, types, settings, functions and syntax the server does not know, features it lacks, databases that are read-only.
        15 | 16 | 20 | 36 | 42..=44 | 46..=48 | 50 | 62 | 63 | 73 | 115 | 164 | 344 | 452 => Error::configuration(text),
        6 | 26 | 27 | 32 | 33 | 38 | 41 | 53 | 69 | 70 | 72 | 117 | 131 | 321 | 349 => Error::data(text),
        _ => Error::external(context, text.trim_start_matches(context).trim_start_matches(": ").to_owned()),
    }
}

/// The first line of a server's text, without what only its makers need.
fn said(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or("nothing");
    let line = line.split(", e.what()").next().unwrap_or(line).replace("e.displayText() = ", "");
    let line = line.split(" (version ").next().unwrap_or(&line);
    let mut end = line.len().min(TEXT_BYTES);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line[..end].to_owned()
}

fn code(text: &str) -> Option<u32> {
    let rest = text.strip_prefix("Code: ")?;
    rest[..rest.find(|letter: char| !letter.is_ascii_digit())?].parse().ok()
}

#[cfg(test)]
mod tests {
    use headrace_core::ErrorKind;

    use super::refused;

    #[test]
    fn codes_have_kinds() {
        let kind = |status, text: &str| {
            let error = refused("cannot write to table `t`", status, text.as_bytes());
            assert!(error.to_string().starts_with("cannot write to table `t`: "), "{error}");
            assert!(!error.to_string().contains("e.what"), "{error}");
            error.kind()
        };
        for (status, text) in [
            (403, "Code: 516. DB::Exception: lab: Authentication failed. (AUTHENTICATION_FAILED) (version 26.9.2.1)\n"),
            (401, "Code: 193, e.displayText() = DB::Exception: Wrong password for user lab, e.what() = DB::Exception"),
            (404, "Code: 81. DB::Exception: Database d9 does not exist."),
            (404, "<html>no such page</html>"),
        ] {
            assert_eq!(kind(status, text), ErrorKind::Configuration, "{text}");
        }
        assert_eq!(kind(500, "Code: 33. DB::Exception: Cannot read all data."), ErrorKind::Data);
        for text in ["Code: 241. DB::Exception: Memory limit exceeded", "Code: 252, too many parts", "bad gateway", ""]
        {
            assert_eq!(kind(502, text), ErrorKind::External, "{text}");
        }
    }
}
