//! `multipart/form-data` bodies (RFC 7578), read from memory: an upload with its statement.

/// One part of a form.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    pub(crate) name: String,
    /// Present for files.
    pub(crate) file_name: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) body: &'a [u8],
}

/// The most parts of one form.
const MOST_PARTS: usize = 64;
/// The longest header of a part.
const MOST_HEADER: usize = 4096;

/// The boundary that a Content-Type names; `None` when it is another type.
pub(crate) fn boundary(content_type: &str) -> Option<String> {
    let (essence, rest) = content_type.split_once(';')?;
    if !essence.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let value = parameter(rest, "boundary")?;
    (!value.is_empty() && value.len() <= 70).then_some(value)
}

/// The parts of a form, or what is wrong with it.
pub(crate) fn parts<'a>(body: &'a [u8], boundary: &str) -> Result<Vec<Part<'a>>, &'static str> {
    let delimiter = [b"--", boundary.as_bytes()].concat();
    let between = [b"\r\n", &delimiter[..]].concat();
    let mut rest = match body.strip_prefix(&delimiter[..]) {
        Some(rest) => rest,
        None => {
            let at = boundary_at(body, &between).ok_or("the boundary is not there")?;
            &body[at + between.len()..]
        }
    };
    let mut parts = Vec::new();
    loop {
        if rest.starts_with(b"--") {
            return Ok(parts);
        }
        if parts.len() == MOST_PARTS {
            return Err("the form has too many parts");
        }
        rest = rest.strip_prefix(b"\r\n").ok_or("a line break is missing behind a boundary")?;
        let head_end = match rest.starts_with(b"\r\n") {
            true => 0,
            false => find(&rest[..rest.len().min(MOST_HEADER)], b"\r\n\r\n")
                .ok_or("a part has no end of headers")?,
        };
        let head = std::str::from_utf8(&rest[..head_end]).map_err(|_| "a header is not UTF-8")?;
        rest = &rest[head_end + if head_end == 0 { 2 } else { 4 }..];
        let end = boundary_at(rest, &between).ok_or("the last boundary is missing")?;
        parts.push(part(head, &rest[..end])?);
        rest = &rest[end + between.len()..];
    }
}

fn part<'a>(head: &str, body: &'a [u8]) -> Result<Part<'a>, &'static str> {
    let (mut name, mut file_name, mut content_type) = (None, None, None);
    for line in head.split("\r\n") {
        let Some((header, value)) = line.split_once(':') else {
            return Err("a header of a part has no colon");
        };
        match header.trim().to_ascii_lowercase().as_str() {
            "content-disposition" => {
                let (_, parameters) = value.split_once(';').ok_or("a part has no name")?;
                name = parameter(parameters, "name");
                file_name = parameter(parameters, "filename");
            }
            "content-type" => content_type = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    Ok(Part { name: name.ok_or("a part has no name")?, file_name, content_type, body })
}

/// The value of `key=value` or `key="value"` among parameters separated by `;`.
fn parameter(parameters: &str, key: &str) -> Option<String> {
    let mut rest = parameters;
    loop {
        rest = rest.trim_start_matches([';', ' ', '\t']);
        let (found, after) = rest.split_once('=')?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let end = after.find(';').unwrap_or(after.len());
                (after[..end].trim().to_owned(), &after[end..])
            }
        };
        if found.trim().eq_ignore_ascii_case(key) {
            return Some(value);
        }
        rest = after;
    }
}

/// Up to the closing quote; browsers write a quote inside as `%22`, others as `\"`.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' if text[at + 1..].starts_with(['"', '\\']) => {
                value.extend(chars.next().map(|(_, c)| c));
            }
            c => value.push(c),
        }
    }
    None
}

/// Where the next boundary is; text that only begins like one is content.
fn boundary_at(body: &[u8], between: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + find(&body[from..], between)?;
        let behind = &body[at + between.len()..];
        if behind.starts_with(b"\r\n") || behind.starts_with(b"--") {
            return Some(at);
        }
        from = at + 1;
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    // Files are large and boundaries rare: look for the first byte, then compare.
    let (first, mut at) = (*needle.first()?, 0);
    while let Some(next) = haystack[at..].iter().position(|byte| *byte == first) {
        at += next;
        if haystack[at..].starts_with(needle) {
            return Some(at);
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FORM: &str = "--b\r\nContent-Disposition: form-data; name=\"sql\"\r\n\r\nSELECT 1\r\n--b\r\n\
                        Content-Disposition: form-data; name=\"file:up\"; filename=\"a \\\"b\\\".txt\"\r\n\
                        Content-Type: text/plain\r\n\r\nhello\r\n--bx\r\n\r\n--b--\r\n";

    #[test]
    fn a_form_is_read() {
        assert_eq!(boundary("multipart/form-data; boundary=b").as_deref(), Some("b"));
        assert_eq!(boundary("Multipart/Form-Data; charset=x; boundary=\"b c\"").as_deref(), Some("b c"));
        assert_eq!(boundary("application/json"), None);
        assert_eq!(boundary("multipart/form-data"), None);
        let parts = parts(FORM.as_bytes(), "b").unwrap();
        assert_eq!((&*parts[0].name, parts[0].body), ("sql", &b"SELECT 1"[..]));
        let file = Part {
            name: "file:up".into(),
            file_name: Some("a \"b\".txt".into()),
            content_type: Some("text/plain".into()),
            body: b"hello\r\n--bx\r\n",
        };
        assert_eq!(parts[1..], [file]);
    }

    #[test]
    fn what_is_broken_is_said() {
        for bad in ["", "--b", "--b\r\n", "--b\r\n\r\nx", "--b\r\nX: y\r\n\r\nz\r\n--b--", "--bx--", "x--b--"]
        {
            assert!(parts(bad.as_bytes(), "b").is_err(), "{bad:?}");
        }
        assert_eq!(parts(b"--b--", "b"), Ok(Vec::new()));
        let many = "--b\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n".repeat(100) + "--b--";
        assert!(parts(many.as_bytes(), "b").is_err());
    }

    proptest! {
        #[test]
        fn nothing_panics(cut in 0..FORM.len(), at in 0..FORM.len(), byte: u8, noise: Vec<u8>) {
            let mut form = FORM.as_bytes()[..cut].to_vec();
            if let Some(place) = form.get_mut(at) {
                *place = byte;
            }
            let _ = parts(&form, "b");
            form.extend(&noise);
            let _ = parts(&form, "b");
            let _ = parts(&noise, "b");
            let _ = boundary(&String::from_utf8_lossy(&noise));
        }

        #[test]
        fn any_file_comes_whole(body: Vec<u8>) {
            let head = "--q7\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\n";
            let form = [head.as_bytes(), &body, b"\r\n--q7--\r\n"].concat();
            prop_assume!(find(&body, b"\r\n--q7").is_none());
            prop_assert_eq!(parts(&form, "q7").unwrap()[0].body, &body[..]);
        }
    }
}
