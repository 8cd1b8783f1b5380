//! Store URLs: never a panic, and a password is never shown, however odd what stands beside it.
#![no_main]

use headrace_core::secret::{mask, mask_word};
use headrace_core::{Ident, StoreUrl};
use libfuzzer_sys::fuzz_target;

const CANARY: &str = "c4n4ry";

// Three lines: what stands before and behind the password, and what stands behind the host.
fuzz_target!(|input: &str| {
    let mut lines = input.splitn(3, '\n');
    let [before, behind, rest] = [(); 3].map(|()| lines.next().unwrap_or_default());
    // Reading files is not what is tested here.
    if input.contains("file") || input.contains("env") || input.contains('%') {
        return;
    }
    parse(rest);
    parse(&format!("kafka://host/{before}?{behind}"));
    parse(&format!("embedded:{before}?{behind}"));
    let _ = (mask(rest), mask_word(rest), Ident::new(rest));
    let secret = format!("mysql://user:{before}{CANARY}{behind}@host/{rest}");
    if before.contains(CANARY) || behind.contains(CANARY) || rest.contains(CANARY) {
        return;
    }
    let shown = parse(&secret);
    assert!(!shown.contains(CANARY), "{secret}: {shown}");
    assert!(!mask_word(&secret).contains(CANARY), "{secret}");
});

/// Everything that a URL, or why it is none, shows.
fn parse(text: &str) -> String {
    match StoreUrl::parse(text) {
        Err(error) => format!("{error} {error:?}"),
        Ok(url) => {
            let names = [url.database("d"), url.table("t")].map(|name| match name {
                Ok(name) => name.to_string(),
                Err(error) => error.to_string(),
            });
            let topic = url.topic("t").unwrap_or_else(|error| error.to_string());
            let options =
                url.allow_options(&["tls", "table"]).map_or_else(|error| error.to_string(), |()| String::new());
            format!("{url} {url:?} {names:?} {topic} {options}")
        }
    }
}
