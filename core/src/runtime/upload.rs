//! A form with files, sent in pieces so that progress can be told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::stream;
use reqwest::Body;
use reqwest::multipart::{Form, Part as FormPart};

use crate::error::{Error, ErrorCode, Result};

/// Bytes that are handed over at a time.
const PIECE: usize = 64 << 10;

/// One file of a form.
pub(crate) struct Part {
    pub(crate) field: String,
    pub(crate) name: String,
    pub(crate) mime: String,
    pub(crate) content: Arc<[u8]>,
}

/// Is told how many bytes of how many were handed over.
type Progress = Arc<dyn Fn(u64, u64) + Send + Sync>;

/// What is in a form, from which one can be made for each attempt.
pub(crate) struct Upload {
    fields: Vec<(&'static str, String)>,
    parts: Vec<Part>,
    progress: Progress,
}

impl Upload {
    /// # Errors
    /// `invalid_argument` for a content type that is none.
    pub(crate) fn new(
        fields: Vec<(&'static str, String)>,
        parts: Vec<Part>,
        progress: Progress,
    ) -> Result<Self> {
        for part in &parts {
            if let Err(error) = FormPart::bytes(&[][..]).mime_str(&part.mime) {
                let text = format!("file {:?}: {:?} is no content type: {error}", part.name, part.mime);
                return Err(Error::new(ErrorCode::InvalidArgument, text));
            }
        }
        Ok(Self { fields, parts, progress })
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.content.len() as u64).sum()
    }

    /// A form whose files are counted as they are read.
    pub(crate) fn form(&self) -> Form {
        let fields =
            self.fields.iter().fold(Form::new(), |form, (name, text)| form.text(*name, text.clone()));
        let (sent, total) = (Arc::new(AtomicU64::new(0)), self.bytes());
        self.parts.iter().fold(fields, |form, part| {
            let (content, sent, progress) = (part.content.clone(), sent.clone(), self.progress.clone());
            let pieces = stream::unfold(0, move |at| {
                let end = content.len().min(at + PIECE);
                let next = (at < end).then(|| (Ok::<_, std::io::Error>(content[at..end].to_vec()), end));
                if next.is_some() {
                    let len = (end - at) as u64;
                    progress(sent.fetch_add(len, Ordering::Relaxed) + len, total);
                }
                async move { next }
            });
            let length = part.content.len() as u64;
            let file =
                FormPart::stream_with_length(Body::wrap_stream(pieces), length).file_name(part.name.clone());
            // Checked when this was made.
            form.part(part.field.clone(), file.mime_str(&part.mime).unwrap_or_else(|_| FormPart::text("")))
        })
    }
}
