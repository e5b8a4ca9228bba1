//! The inspector: a page with everything in the binary, that asks the same API as every client.

use axum::Router;
use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::Response;
use axum::routing::get;

/// Nothing but these files runs in the page, and it talks to nobody but this server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

const FILES: [(&str, &str, &str); 7] = [
    ("/", HTML, include_str!("ui/index.html")),
    ("/ui/style.css", CSS, include_str!("ui/style.css")),
    ("/ui/app.js", JAVASCRIPT, include_str!("ui/app.js")),
    ("/ui/api.js", JAVASCRIPT, include_str!("ui/api.js")),
    ("/ui/grid.js", JAVASCRIPT, include_str!("ui/grid.js")),
    ("/ui/live.js", JAVASCRIPT, include_str!("ui/live.js")),
    ("/ui/values.js", JAVASCRIPT, include_str!("ui/values.js")),
];

/// The page's routes.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.into_iter().fold(Router::new(), |router, (path, content_type, text)| {
        router.route(path, get(move || async move { file(content_type, text) }))
    })
}

fn file(content_type: &'static str, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Another version of the server is another page.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
