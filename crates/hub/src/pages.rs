//! The console: what `web/` builds, within the program.

use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use rust_embed::RustEmbed;

use crate::api::Problem;

#[derive(RustEmbed)]
#[folder = "../../web/dist"]
#[allow_missing = true]
struct Console;

const NO_CONSOLE: &str = "This program was built without its console: run web/build, and build it \
                          again. The API is there: /api/docs\n";

/// A file of the console; for any address of a page, the one page that it is.
pub(crate) async fn page(uri: Uri) -> Response {
    let path = uri.path().trim_start_matches('/');
    if let Some(file) = Console::get(path).filter(|_| !path.is_empty()) {
        // The names of assets have a hash of what is in them.
        let age = if path.starts_with("assets/") {
            "public, max-age=31536000, immutable"
        } else {
            "no-cache"
        };
        return answer(file, age);
    }
    let is_page = !path.rsplit('/').next().unwrap_or_default().contains('.');
    match Console::get("index.html") {
        _ if !is_page => Problem::no_such_place().into_response(),
        Some(file) => answer(file, "no-cache"),
        None => (StatusCode::NOT_FOUND, NO_CONSOLE).into_response(),
    }
}

fn answer(file: rust_embed::EmbeddedFile, age: &'static str) -> Response {
    let kind = file.metadata.mimetype().to_owned();
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, age.into())];
    (headers, file.data).into_response()
}
