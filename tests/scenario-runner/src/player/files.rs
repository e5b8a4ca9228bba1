//! Steps about files.

use std::sync::{Arc, Mutex, PoisonError};

use kalam_live::{FileUpload, KalamClient, UploadProgress};
use serde_json::Value as Json;

use super::{Done, equal, parameters};
use crate::Failure;
use crate::scenario::Step;

pub(super) async fn upload(client: &KalamClient, step: &Step) -> Done {
    let files = step.get("files").and_then(Json::as_object).ok_or("files must be an object".to_owned())?;
    let mut uploads = Vec::new();
    let mut total_bytes = 0;
    for (placeholder, file) in files {
        let content = content(file)?;
        total_bytes += content.len() as u64;
        let upload = FileUpload::new(placeholder, file["name"].as_str().unwrap_or(placeholder), content);
        uploads.push(match file["mime"].as_str() {
            Some(mime) => upload.with_mime(mime),
            None => upload,
        });
    }
    let last = Arc::new(Mutex::new(None));
    let sink = last.clone();
    let told = move |progress| *sink.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress);
    let sql = step.text("execute_with_files")?;
    let changed = client.execute_with_files_and_progress(sql, &parameters(step)?, uploads, told).await?;
    equal("affected", &Some(changed), &step.get("affected").and_then(Json::as_u64))?;
    let last = *last.lock().unwrap_or_else(PoisonError::into_inner);
    let all = UploadProgress { sent_bytes: total_bytes, total_bytes };
    equal("the progress", &last.unwrap_or(UploadProgress { sent_bytes: 0, total_bytes: 0 }), &all)
}

pub(super) async fn download(client: &KalamClient, step: &Step) -> Done {
    let row =
        client.query_one(step.text("download_file")?, &[]).await?.ok_or("there is no row".to_owned())?;
    let file = row.values().first().and_then(|cell| cell.as_file()).ok_or("this is no file".to_owned())?;
    let download = client.download_file(file, step.text("table")?, None).await?;
    equal("name", &file.name.as_str(), &step.text("name")?)?;
    equal("mime", &download.mime.as_deref(), &Some(step.text("mime")?))?;
    match download.content == content(&Json::Object(step.fields.clone()))? {
        true => Ok(()),
        false => Err(format!("it is another file of {} bytes", download.content.len()).into()),
    }
}

fn content(file: &Json) -> Result<Vec<u8>, Failure> {
    match (file["text"].as_str(), file["bytes"].as_u64()) {
        (Some(text), _) => Ok(text.as_bytes().to_vec()),
        (_, Some(bytes)) => Ok((0..bytes).map(|n| (n * 31 % 251) as u8).collect()),
        _ => Err(format!("{file} has neither text nor bytes").into()),
    }
}
