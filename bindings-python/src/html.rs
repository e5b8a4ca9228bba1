//! Tables for notebooks.

use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// An HTML table of `rows`, which are mappings with the keys `names`, and a line that says how many more there are.
pub(crate) fn table<'py>(
    names: &Bound<'py, PyTuple>,
    rows: &[Bound<'py, PyAny>],
    more: Option<String>,
) -> PyResult<String> {
    let mut out = String::from("<table><thead><tr>");
    for name in names {
        out.push_str("<th>");
        escape(&mut out, &name.str()?.to_string_lossy());
        out.push_str("</th>");
    }
    out.push_str("</tr></thead><tbody>");
    for row in rows {
        out.push_str("<tr>");
        for name in names {
            out.push_str("<td>");
            escape(&mut out, &row.get_item(name)?.str()?.to_string_lossy());
            out.push_str("</td>");
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table>");
    if let Some(more) = more {
        out.push_str("<p>");
        escape(&mut out, &more);
        out.push_str("</p>");
    }
    Ok(out)
}

/// Text as it is.
pub(crate) fn preformatted(text: &str) -> String {
    let mut out = String::from("<pre>");
    escape(&mut out, text);
    out.push_str("</pre>");
    out
}

fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
}
