//! Text of browsers and users, made fit for documents of others.

/// Characters that change how what stands around them is read: Unicode's bidirectional controls.
const fn is_turning(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text with what would not be seen, or would turn what is, written out: `\u{202e}`. New lines and tabs stay.
pub(super) fn visible(text: &str) -> String {
    let mut visible = String::with_capacity(text.len());
    for c in text.chars() {
        let stays = matches!(c, '\n' | '\t') || !(c.is_control() || is_turning(c));
        // XML has no place for the last two, not even escaped.
        if stays && !matches!(c, '\u{fffe}' | '\u{ffff}') {
            visible.push(c);
        } else {
            visible.extend(c.escape_unicode());
        }
    }
    visible
}

/// The same in one line, for names: new lines and tabs are written out too.
pub(super) fn one_line(text: &str) -> String {
    visible(text).replace('\n', "\\u{a}").replace('\t', "\\u{9}")
}

/// The first line of a text, visible: for places that hold one line.
pub(super) fn first_line(text: &str) -> String {
    visible(text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default())
}

/// More digits than four would claim more than is known, and take room.
pub(super) fn rounded(value: f64) -> Option<f64> {
    if value.abs() < 1e4 && value.fract() == 0.0 {
        return Some(value);
    }
    format!("{value:.3e}").parse().ok().filter(|value: &f64| value.is_finite())
}

/// A number with its thousands set apart: `1,000,000`.
pub(super) fn count(number: usize) -> String {
    let digits = number.to_string();
    let mut told = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            told.push(',');
        }
        told.push(digit);
    }
    told
}

/// An id as a part of an address: what has a meaning in addresses, in Markdown or in HTML is percent-encoded, so that any
/// reader of addresses gives the id back.
pub(super) fn address(id: &str) -> String {
    let mut address = String::with_capacity(id.len());
    for c in id.chars() {
        if c.is_ascii_alphanumeric() || matches!(c, '/' | '@' | '+' | '-' | '.' | '_') {
            address.push(c);
        } else {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                address.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    address
}

/// A label as a part of a file's name: whatever it holds, the file stays in its folder.
pub(super) fn file_name(label: &str) -> String {
    address(label).replace('/', "%2F")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let told = [0, 12, 999, 1000, 123_456, 1_000_000].map(count);
        assert_eq!(told, ["0", "12", "999", "1,000", "123,456", "1,000,000"]);
    }

    #[test]
    fn what_is_not_seen_is_written_out() {
        assert_eq!(visible("a\u{202e}b\u{0}\n\u{1b}[31mc ü😀"), "a\\u{202e}b\\u{0}\n\\u{1b}[31mc ü😀");
        assert_eq!(one_line("a\n\tb"), "a\\u{a}\\u{9}b");
        assert_eq!(first_line("\n  \nfirst\u{feff}\nsecond"), "first\u{feff}");
    }

    #[test]
    fn an_id_is_an_address_and_nothing_else() {
        let id = "chromium/bert@tiny+b4/webmatrix/wasm/fp32/default";
        assert_eq!(address(id), id);
        assert_eq!(file_name("../x"), "..%2Fx");
        assert_eq!(address("a b`|<%\u{202e}"), "a%20b%60%7C%3C%25%E2%80%AE");
    }
}
