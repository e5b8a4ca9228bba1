//! Files: uploaded with the statement that stores them, downloaded by their reference.

use std::fmt;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::KalamClient;
use super::query::{changed_rows, with_bytes_bound};
use super::query_result::QueryResult;
use super::subscription::SubscriptionConfig;
use crate::error::Result;
use crate::protocol::{SqlRequest, decode_error, decode_sql_response, encode_params};
use crate::runtime::http::SendError;
use crate::runtime::upload::{Part, Upload};
use crate::sql::check_live;
use crate::value::{FileRef, Value};

/// A file for [`KalamClient::execute_with_files`]: `FILE("placeholder")` in the statement stands for it.
#[derive(Clone, PartialEq, Eq)]
pub struct FileUpload {
    placeholder: String,
    name: String,
    mime: Option<String>,
    content: Arc<[u8]>,
}

impl FileUpload {
    /// The bytes, and the name that they are stored under.
    #[must_use]
    pub fn new(
        placeholder: impl Into<String>,
        name: impl Into<String>,
        content: impl Into<Arc<[u8]>>,
    ) -> Self {
        Self { placeholder: placeholder.into(), name: name.into(), mime: None, content: content.into() }
    }

    /// Says what the bytes are, such as `image/png`. Without it `application/octet-stream` is sent.
    #[must_use]
    pub fn with_mime(mut self, mime: impl Into<String>) -> Self {
        self.mime = Some(mime.into());
        self
    }
}

// By hand: the bytes help nobody.
impl fmt::Debug for FileUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { placeholder, name, mime, content } = self;
        write!(f, "FileUpload({placeholder:?}, {name:?}, {mime:?}, {} bytes)", content.len())
    }
}

/// How far an upload is, all files together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadProgress {
    /// Bytes of files that were handed to the network so far.
    pub sent_bytes: u64,
    /// Bytes of all files.
    pub total_bytes: u64,
}

/// A downloaded file.
#[derive(Clone, PartialEq, Eq)]
pub struct FileDownload {
    /// The bytes.
    pub content: Vec<u8>,
    /// What they are, as the server says.
    pub mime: Option<String>,
}

impl fmt::Debug for FileDownload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileDownload({:?}, {} bytes)", self.mime, self.content.len())
    }
}

impl KalamClient {
    /// Executes one statement with files and returns how many rows it has changed. `FILE("name")` in it stands for the
    /// file with that placeholder (recorded in `wire/files.jsonl`).
    ///
    /// ```no_run
    /// # use kalam_live::{FileUpload, params};
    /// # async fn f(client: kalam_live::KalamClient) -> Result<(), Box<dyn std::error::Error>> {
    /// let photo = FileUpload::new("photo", "cat.png", std::fs::read("cat.png")?).with_mime("image/png");
    /// client.execute_with_files("INSERT INTO app.pets VALUES ($1, FILE(\"photo\"))", &params![1], [photo]).await?;
    /// let row = client.query_one("SELECT photo FROM app.pets WHERE id = 1", &[]).await?.ok_or("no such pet")?;
    /// let photo = row["photo"].as_file().ok_or("no photo")?;
    /// let bytes = client.download_file(photo, "app.pets", None).await?.content;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`query`](Self::query); `invalid_argument` for a placeholder without file, a file without placeholder, one that is
    /// too large for the server (25 MB each, 20 at once on KalamDB), or a type that is none. It is sent once: an error
    /// without answer says that it may have been applied.
    pub async fn execute_with_files(
        &self,
        sql: &str,
        params: &[Value],
        files: impl IntoIterator<Item = FileUpload>,
    ) -> Result<u64> {
        self.execute_with_files_and_progress(sql, params, files, |_| {}).await
    }

    /// The same; `progress` is told, from a background thread, whenever a piece was handed to the network.
    ///
    /// # Errors
    /// As there.
    pub async fn execute_with_files_and_progress(
        &self,
        sql: &str,
        params: &[Value],
        files: impl IntoIterator<Item = FileUpload>,
        progress: impl Fn(UploadProgress) + Send + Sync + 'static,
    ) -> Result<u64> {
        self.check_connected()?;
        let namespace = self.inner.namespace.as_deref();
        let (sql, params) = with_bytes_bound(sql, params)?;
        let mut fields = vec![("sql", sql.to_string())];
        if !params.is_empty() {
            fields.push(("params", encode_params(params)?));
        }
        fields.extend(namespace.map(|namespace| ("namespace_id", namespace.to_owned())));
        let part = |file: FileUpload| Part {
            field: format!("file:{}", file.placeholder),
            name: file.name,
            mime: file.mime.unwrap_or_else(|| "application/octet-stream".to_owned()),
            content: file.content,
        };
        let parts = files.into_iter().map(part).collect();
        let told = move |sent_bytes, total_bytes| progress(UploadProgress { sent_bytes, total_bytes });
        let upload = Arc::new(Upload::new(fields, parts, Arc::new(told))?);
        let reply = self.inner.asker.upload("v1/api/sql", &upload).await.map_err(|error| match error {
            SendError::NotSent(error) => error,
            SendError::NoAnswer(error) => super::query::may_be_applied(error),
        })?;
        let request = SqlRequest { sql: &sql, params, namespace };
        let results = decode_sql_response(reply.status, &reply.body, &request)?;
        Ok(changed_rows(&QueryResult::new(results, false)))
    }

    /// Downloads the file that a cell of `table` refers to. `user` is whose table it is, for those who may read the files
    /// of others; `None` is this client's own user.
    ///
    /// # Errors
    /// `not_found` when there is no such file; `permission_denied`, `auth_failed`; `timeout` and `disconnected`;
    /// `protocol` when more comes than the reference says.
    pub async fn download_file(
        &self,
        file: &FileRef,
        table: &str,
        user: Option<&str>,
    ) -> Result<FileDownload> {
        self.check_connected()?;
        let path = path(file, table, self.inner.namespace.as_deref(), user)?;
        let reply = self.inner.asker.download(&path, file.size).await.map_err(SendError::into_error)?;
        if reply.status != 200 {
            return Err(decode_error(reply.status, &reply.body));
        }
        Ok(FileDownload { content: reply.body.into(), mime: reply.content_type })
    }
}

/// All but these bytes of a path are written as they are.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

fn path(file: &FileRef, table: &str, namespace: Option<&str>, user: Option<&str>) -> Result<String> {
    let table = check_live(&SubscriptionConfig::table(table)?.sql, &[], namespace)?.table;
    let encoded = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
    let parts = [&*table.namespace, &table.name, &file.sub, &file.stored_name()].map(encoded);
    let user = user.map(|user| format!("?user_id={}", encoded(user))).unwrap_or_default();
    Ok(format!("v1/files/{}{user}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    #[test]
    fn paths_name_table_and_file() {
        let file = FileRef {
            id: "7".into(),
            sub: "f0001".into(),
            name: "My Document.PDF".into(),
            size: 1,
            mime: "application/pdf".into(),
            sha256: String::new(),
        };
        let path = |table: &str, namespace, user| path(&file, table, namespace, user);
        assert_eq!(path("app.docs", None, None).unwrap(), "v1/files/app/docs/f0001/7-my-document.pdf");
        assert_eq!(
            path("\"My Docs\"", Some("app"), Some("a/b")).unwrap(),
            "v1/files/app/My%20Docs/f0001/7-my-document.pdf?user_id=a%2Fb"
        );
        for no_table in ["docs", "app.docs WHERE", ""] {
            assert!(path(no_table, None, None).is_err(), "{no_table}");
        }
        assert_eq!(path("app.docs x", None, None).unwrap_err().code(), ErrorCode::InvalidArgument);
    }
}
