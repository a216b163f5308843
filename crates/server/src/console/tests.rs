use super::{Files, is_wanted, router};
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use tower::ServiceExt;

async fn get(path: &str, headers: &[(header::HeaderName, &str)]) -> Response<Body> {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    router::<()>().oneshot(request).await.unwrap()
}

fn text(response: &Response<Body>, name: header::HeaderName) -> &str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

async fn body(response: Response<Body>) -> String {
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn asset(ending: &str) -> String {
    let mut names =
        Files::iter().filter(|name| name.starts_with("assets/") && name.ends_with(ending));
    names.next().expect("the build has one").into_owned()
}

#[tokio::test]
async fn the_page_stands_at_its_own_paths_only() {
    for path in [
        "/console",
        "/console/threads",
        "/console/threads/0198c5a2-7d7e-7cc3-8a52-2f1f3b0c9d11",
        "/console/runs/x",
        "/console/keys",
        "/console/index.html",
    ] {
        let response = get(path, &[]).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(
            text(&response, header::CONTENT_TYPE),
            "text/html; charset=utf-8"
        );
        assert_eq!(text(&response, header::CACHE_CONTROL), "no-cache", "{path}");
        assert!(
            body(response).await.contains("<title>Runyard</title>"),
            "{path}"
        );
    }
    for path in [
        "/console/nothing",
        "/console/assets/index-00000000.js",
        "/console/assets/../index.html",
        "/console/..%2f..%2fCargo.toml",
        "/api/v1/agents/nothing",
        "/threads",
    ] {
        assert_eq!(
            get(path, &[]).await.status(),
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
}

#[tokio::test]
async fn nothing_is_inline_and_everything_is_from_here() {
    let response = get("/console", &[]).await;
    let policy = text(&response, header::CONTENT_SECURITY_POLICY).to_owned();
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    for weak in ["unsafe", "data:", "http", "*"] {
        assert!(!policy.contains(weak), "{policy}");
    }
    assert_eq!(text(&response, header::X_FRAME_OPTIONS), "DENY");
    let page = body(response).await;
    for inline in [
        "<style", "style=", "onload=", "<script>", "http://", "https://",
    ] {
        assert!(!page.contains(inline), "{inline} in {page}");
    }
    assert!(page.contains("src=\"/console/assets/index-"), "{page}");
}

#[tokio::test]
async fn hashed_files_are_kept_for_good() {
    for (ending, kind) in [
        (".js", "text/javascript; charset=utf-8"),
        (".css", "text/css; charset=utf-8"),
    ] {
        let response = get(&format!("/console/{}", asset(ending)), &[]).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(text(&response, header::CONTENT_TYPE), kind);
        assert_eq!(
            text(&response, header::CACHE_CONTROL),
            "public, max-age=31536000, immutable"
        );
    }
}

#[tokio::test]
async fn a_known_file_is_not_sent_again() {
    let first = get("/console", &[]).await;
    let tag = text(&first, header::ETAG).to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");
    for known in [tag.clone(), format!("\"other\", {tag}"), "*".to_owned()] {
        let again = get("/console", &[(header::IF_NONE_MATCH, &known)]).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{known}");
        assert_eq!(text(&again, header::ETAG), tag);
        assert_eq!(body(again).await, "");
    }
    let other = get("/console", &[(header::IF_NONE_MATCH, "\"other\"")]).await;
    assert_eq!(other.status(), StatusCode::OK);
}

#[tokio::test]
async fn files_go_out_compressed_to_those_who_can_read_it() {
    let path = format!("/console/{}", asset(".js"));
    let plain = to_bytes(get(&path, &[]).await.into_body(), usize::MAX)
        .await
        .unwrap();
    let response = get(&path, &[(header::ACCEPT_ENCODING, "gzip")]).await;
    assert_eq!(text(&response, header::CONTENT_ENCODING), "gzip");
    let packed = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    assert!(packed.len() * 2 < plain.len());
    assert!(
        packed.len() < 350_000,
        "{} bytes for the chat page",
        packed.len()
    );
}

#[test]
fn browsers_are_told_from_programs() {
    let accept = |value: &'static str| {
        HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(value))])
    };
    assert!(is_wanted(&accept(
        "text/html,application/xhtml+xml,*/*;q=0.8"
    )));
    assert!(!is_wanted(&accept("application/json")));
    assert!(!is_wanted(&accept("*/*")));
    assert!(!is_wanted(&HeaderMap::new()));
}
